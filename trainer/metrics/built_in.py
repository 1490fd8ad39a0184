"""The built-in metrics by name."""

from collections.abc import Callable
from functools import partial

from trainer.metrics.classes import (
    F1,
    MCC,
    Accuracy,
    BalancedAccuracy,
    F1Macro,
    Precision,
    PrecisionMacro,
    Recall,
    RecallMacro,
    Top,
)
from trainer.metrics.probabilities import AUC, ECE, AveragePrecision, Brier, LogLoss
from trainer.metrics.sums import Metric
from trainer.metrics.values import MAE, MAPE, MSE, R2, RMSE, MedianAE

METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "auc": AUC,
    "average_precision": AveragePrecision,
    "balanced_accuracy": BalancedAccuracy,
    "brier": Brier,
    "ece": ECE,
    "f1": F1,
    "f1_macro": F1Macro,
    "log_loss": LogLoss,
    "mae": MAE,
    "mape": MAPE,
    "mcc": MCC,
    "median_ae": MedianAE,
    "mse": MSE,
    "precision": Precision,
    "precision_macro": PrecisionMacro,
    "r2": R2,
    "recall": Recall,
    "recall_macro": RecallMacro,
    "rmse": RMSE,
    **{f"top{k}": partial(Top, k) for k in (2, 3, 5, 10)},
}
