"""Which way a metric is better, for whoever reads results; `trainer.metrics` measures. Nothing here imports torch."""

HIGHER_IS_BETTER = {
    "accuracy": True,
    "f1": True,
    "top5": True,
    "auc": True,
    "r2": True,
    "loss": False,
    "mse": False,
    "rmse": False,
    "mae": False,
}
