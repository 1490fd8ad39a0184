import math

import pytest
import torch
from sklearn import metrics as reference

from trainer.engine.meter import Best, Meter
from trainer.metrics import AUC, F1, MAE, METRICS, MSE, OF_TASK, ON_REQUEST, R2, RMSE, Accuracy, F1Macro, Top5

G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(500, 5, generator=G)
CLASSES = torch.randint(0, 5, (500,), generator=G)
MANY, ELEVEN = torch.randn(500, 11, generator=G), torch.arange(500) % 11
SCORES = torch.randn(500, 1, generator=G).round(decimals=1)  # with ties
BINARY = (SCORES + torch.randn(500, 1, generator=G) > 0).float()
VALUES = torch.randn(500, 1, generator=G)
TARGETS = VALUES + 0.5 * torch.randn(500, 1, generator=G) + 100


def in_parts(metric, outputs, targets):
    for start in range(0, len(targets), 77):
        metric.update(outputs[start : start + 77], targets[start : start + 77])
    return float(metric.compute())


@pytest.mark.parametrize(
    ("metric", "outputs", "targets", "expected"),
    [
        (MSE(), VALUES, TARGETS, reference.mean_squared_error(TARGETS, VALUES)),
        (RMSE(), VALUES, TARGETS, reference.root_mean_squared_error(TARGETS, VALUES)),
        (MAE(), VALUES, TARGETS, reference.mean_absolute_error(TARGETS, VALUES)),
        (R2(), VALUES + 100, TARGETS, reference.r2_score(TARGETS, VALUES + 100)),
        (Accuracy(), LOGITS, CLASSES, reference.accuracy_score(CLASSES, LOGITS.argmax(1))),
        (F1Macro(), LOGITS, CLASSES, reference.f1_score(CLASSES, LOGITS.argmax(1), average="macro")),
        (Top5(), MANY, ELEVEN, reference.top_k_accuracy_score(ELEVEN, MANY, k=5)),
        (Accuracy(), SCORES, BINARY, reference.accuracy_score(BINARY, SCORES > 0)),
        (F1(), SCORES, BINARY, reference.f1_score(BINARY, SCORES > 0)),
        (F1(), -SCORES.abs(), BINARY, 0),  # nothing is predicted to be positive
        (F1Macro(), SCORES, BINARY, reference.f1_score(BINARY, SCORES > 0, average="macro")),
        (AUC(), SCORES, BINARY, reference.roc_auc_score(BINARY.flatten(), SCORES.flatten())),
    ],
)
def test_a_metric_over_batches_equals_scikit_learns_over_all(metric, outputs, targets, expected):
    assert in_parts(metric, outputs, targets) == pytest.approx(expected, rel=1e-6)
    metric.reset()
    assert in_parts(metric, outputs, targets) == pytest.approx(expected, rel=1e-6)


def test_large_targets_keep_a_small_spread():
    spread = torch.randn(500, 1, generator=torch.Generator().manual_seed(1))
    meter = Meter({"mse": MSE(), "r2": R2()}, in_units=lambda values: values * 0.1 + 1.7e9)
    meter.update(spread + 0.5, spread, torch.tensor(0.0))
    expected = 1 - 0.25 / spread.double().var(correction=0).item()
    assert meter.compute() == pytest.approx({"loss": 0, "mse": 0.0025, "r2": expected}, rel=1e-4)


def test_macro_f1_averages_over_the_classes_that_occur():
    few = CLASSES.clamp_max(1)
    logits = LOGITS[:, :2].repeat(1, 3)[:, :5].clone()
    logits[:, 2:] = -10
    assert in_parts(F1Macro(), logits, few) == pytest.approx(
        reference.f1_score(few, logits.argmax(1), average="macro"), rel=1e-6
    )


def test_an_undefined_metric_is_nan():
    assert math.isnan(in_parts(AUC(), SCORES, torch.ones(500, 1)))
    assert math.isnan(in_parts(R2(), VALUES, torch.full((500, 1), 3.0)))


def test_every_task_has_its_metrics_and_every_metric_a_direction():
    assert {name for by_task in (OF_TASK, ON_REQUEST) for name in sum(by_task.values(), ())} | {"top5"} == set(METRICS)
    better = {name for name, metric in METRICS.items() if metric.higher_is_better}
    assert better == {"accuracy", "f1", "f1_macro", "top5", "auc", "r2"}


def test_a_meter_weights_batches_by_size_and_resets():
    meter = Meter({"mse": MSE()}, in_units=lambda values: 10 * values)
    for _ in range(2):
        for size in [3] * 100 + [1]:  # more than it keeps before adding up
            meter.update(torch.ones(size, 1), torch.zeros(size, 1), torch.tensor(5.0 if size == 1 else 2.0))
        assert meter.compute() == pytest.approx({"loss": (300 * 2 + 5) / 301, "mse": 100})


def test_nan_is_never_best_and_does_not_count_as_improvement():
    best = Best("loss", higher_is_better=False)
    assert best.improved(1, {"loss": math.nan})
    assert best.improved(2, {"loss": 3.0})
    assert not best.improved(3, {"loss": math.nan})
    assert not best.improved(4, {"loss": 3.0})
    assert (best.epoch, best.epochs_without) == (2, 2)
    assert best.improved(5, {"loss": 2.0})
    assert best.epochs_without == 0


def test_the_direction_comes_from_the_metric():
    best = Best("accuracy", higher_is_better=True)
    assert best.improved(1, {"accuracy": 0.5})
    assert not best.improved(2, {"accuracy": 0.4})
    assert best.improved(3, {"accuracy": 0.6})
