import math

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from trainer.engine.meter import Best, Meter
from trainer.metrics.built_in import METRICS
from trainer.metrics.names import DEFAULTS, HIGHER_IS_BETTER, OF_TASK, Meaning, available, defaults
from trainer.metrics.values import MSE, R2

G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(500, 5, generator=G)
CLASSES = torch.randint(0, 5, (500,), generator=G)
CHANCES = LOGITS.double().softmax(1)
CHOSEN = LOGITS.argmax(1)
MANY, ELEVEN = torch.randn(500, 11, generator=G), torch.arange(500) % 11
SCORES = torch.randn(500, 1, generator=G).round(decimals=1)  # with ties
BINARY = (SCORES + torch.randn(500, 1, generator=G) > 0).float()
POSITIVE = SCORES > 0
CHANCE = SCORES.double().sigmoid()
NEVER = -SCORES.abs()  # nothing is predicted to be positive
VALUES = torch.randn(500, 1, generator=G)
TARGETS = VALUES + 0.5 * torch.randn(500, 1, generator=G) + 100


def in_parts(name, outputs, targets):
    metric = METRICS[name]()
    for _ in range(2):  # a reset forgets everything
        metric.reset()
        for start in range(0, len(targets), 77):
            metric.update(outputs[start : start + 77], targets[start : start + 77])
    return float(metric.compute())


def calibration_error(confidence, right):
    """Return the expected calibration error from scikit-learn's curve, which leaves out empty bins."""
    accuracy, mean = calibration_curve(right, confidence, n_bins=15)
    counts = np.histogram(confidence, np.linspace(0, 1, 16))[0]
    return np.average(abs(accuracy - mean), weights=counts[counts > 0])


EXPECTED = {
    "mse": (VALUES, TARGETS, reference.mean_squared_error(TARGETS, VALUES)),
    "rmse": (VALUES, TARGETS, reference.root_mean_squared_error(TARGETS, VALUES)),
    "mae": (VALUES, TARGETS, reference.mean_absolute_error(TARGETS, VALUES)),
    "r2": (VALUES + 100, TARGETS, reference.r2_score(TARGETS, VALUES + 100)),
    "mape": (VALUES, TARGETS, reference.mean_absolute_percentage_error(TARGETS, VALUES)),
    "median_ae": (VALUES, TARGETS, reference.median_absolute_error(TARGETS, VALUES)),
    "median_ae odd": (VALUES[1:], TARGETS[1:], reference.median_absolute_error(TARGETS[1:], VALUES[1:])),
    "accuracy": (LOGITS, CLASSES, reference.accuracy_score(CLASSES, CHOSEN)),
    "balanced_accuracy": (LOGITS, CLASSES, reference.balanced_accuracy_score(CLASSES, CHOSEN)),
    "f1_macro": (LOGITS, CLASSES, reference.f1_score(CLASSES, CHOSEN, average="macro")),
    "precision_macro": (LOGITS, CLASSES, reference.precision_score(CLASSES, CHOSEN, average="macro")),
    "recall_macro": (LOGITS, CLASSES, reference.recall_score(CLASSES, CHOSEN, average="macro")),
    "mcc": (LOGITS, CLASSES, reference.matthews_corrcoef(CLASSES, CHOSEN)),
    "log_loss": (LOGITS, CLASSES, reference.log_loss(CLASSES, CHANCES)),
    "brier": (LOGITS, CLASSES, reference.brier_score_loss(CLASSES, CHANCES)),
    "ece": (LOGITS, CLASSES, calibration_error(CHANCES.amax(1), CLASSES == CHOSEN)),
    "auc": (LOGITS, CLASSES, reference.roc_auc_score(CLASSES, CHANCES, multi_class="ovr")),
    "average_precision": (LOGITS, CLASSES, reference.average_precision_score(CLASSES, CHANCES)),
    "top2": (MANY, ELEVEN, reference.top_k_accuracy_score(ELEVEN, MANY, k=2)),
    "top3": (MANY, ELEVEN, reference.top_k_accuracy_score(ELEVEN, MANY, k=3)),
    "top5": (MANY, ELEVEN, reference.top_k_accuracy_score(ELEVEN, MANY, k=5)),
    "top10": (MANY, ELEVEN, reference.top_k_accuracy_score(ELEVEN, MANY, k=10)),
    "accuracy of two": (SCORES, BINARY, reference.accuracy_score(BINARY, POSITIVE)),
    "balanced_accuracy of two": (SCORES, BINARY, reference.balanced_accuracy_score(BINARY, POSITIVE)),
    "f1": (SCORES, BINARY, reference.f1_score(BINARY, POSITIVE)),
    "f1 never": (NEVER, BINARY, 0),
    "f1_macro of two": (SCORES, BINARY, reference.f1_score(BINARY, POSITIVE, average="macro")),
    "precision": (SCORES, BINARY, reference.precision_score(BINARY, POSITIVE)),
    "precision never": (NEVER, BINARY, reference.precision_score(BINARY, NEVER > 0, zero_division=0)),
    "precision_macro of two": (SCORES, BINARY, reference.precision_score(BINARY, POSITIVE, average="macro")),
    "recall": (SCORES, BINARY, reference.recall_score(BINARY, POSITIVE)),
    "recall_macro of two": (SCORES, BINARY, reference.recall_score(BINARY, POSITIVE, average="macro")),
    "mcc of two": (SCORES, BINARY, reference.matthews_corrcoef(BINARY, POSITIVE)),
    "mcc never": (NEVER, BINARY, 0),
    "log_loss of two": (SCORES, BINARY, reference.log_loss(BINARY, CHANCE)),
    "brier of two": (SCORES, BINARY, reference.brier_score_loss(BINARY, CHANCE)),
    "ece of two": (SCORES, BINARY, calibration_error(CHANCE.clamp_min(1 - CHANCE)[:, 0], BINARY == POSITIVE)),
    "auc of two": (SCORES, BINARY, reference.roc_auc_score(BINARY.flatten(), SCORES.flatten())),
    "average_precision of two": (SCORES, BINARY, reference.average_precision_score(BINARY, SCORES)),
}


@pytest.mark.parametrize("case", EXPECTED)
def test_a_metric_over_batches_equals_scikit_learns_over_all(case):
    outputs, targets, expected = EXPECTED[case]
    assert in_parts(case.split()[0], outputs, targets) == pytest.approx(expected, rel=1e-6)


def test_every_metric_is_compared():
    assert {case.split()[0] for case in EXPECTED} == set(METRICS)


@pytest.mark.parametrize("case", EXPECTED)
def test_an_example_that_is_drawn_three_times_counts_as_three(case):
    outputs, targets, _ = EXPECTED[case]
    weights = torch.randint(0, 4, (6, len(targets)), generator=torch.Generator().manual_seed(1))
    found = METRICS[case.split()[0]]().statistic(outputs, targets)(weights.double())
    for row, value in zip(weights, found, strict=True):
        drawn = torch.arange(len(targets)).repeat_interleave(row)
        expected = in_parts(case.split()[0], outputs[drawn], targets[drawn])
        assert float(value) == pytest.approx(expected, rel=1e-9, abs=1e-12)


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
    assert in_parts("f1_macro", logits, few) == pytest.approx(
        reference.f1_score(few, logits.argmax(1), average="macro"), rel=1e-6
    )


def test_an_undefined_metric_is_nan():
    assert math.isnan(in_parts("auc", SCORES, torch.ones(500, 1)))
    assert math.isnan(in_parts("r2", VALUES, torch.full((500, 1), 3.0)))


def test_ranks_are_averaged_over_the_classes_that_occur():
    few = CLASSES.clamp_max(2)
    for name, of_one in (("auc", reference.roc_auc_score), ("average_precision", reference.average_precision_score)):
        expected = [of_one(few == number, CHANCES[:, number]) for number in range(3)]
        assert in_parts(name, LOGITS, few) == pytest.approx(np.mean(expected), rel=1e-9)


def test_every_task_has_its_metrics_and_every_metric_a_direction():
    of_tasks = {name for task in OF_TASK for name in available(task, 100 if task == "multiclass" else 1)}
    assert of_tasks == set(METRICS) == set(HIGHER_IS_BETTER) - {"loss"}
    assert all({*DEFAULTS[task]} <= {*OF_TASK[task]} for task in OF_TASK)
    assert defaults("multiclass", 10, Meaning()) == ["accuracy", "f1_macro"]
    assert defaults("multiclass", 11, Meaning()) == ["accuracy", "f1_macro", "top5"]
    perfect = {"regression": (TARGETS, TARGETS), "binary": (40 * BINARY - 20, BINARY)}
    perfect["multiclass"] = (100 * torch.eye(11)[ELEVEN], ELEVEN)
    for task, (outputs, targets) in perfect.items():
        for name in available(task, outputs.shape[1]):
            assert in_parts(name, outputs, targets) == pytest.approx(float(HIGHER_IS_BETTER[name]), abs=1e-6)


def test_what_older_runs_meant_is_recorded_by_saying_nothing():
    assert Meaning.of({}) == Meaning.of(Meaning().record() | {"time": "now"}) == Meaning()
    older = Meaning.of({"time": "then"})
    assert older == ("f1_macro", ("mse", "rmse", "mae", "r2"), False)
    assert Meaning.of(older.record() | {"time": "now"}) == older
    assert defaults("regression", 1, older)[0] == "mse"


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


def test_the_lower_loss_wins_among_equal_epochs_and_then_the_earlier_one():
    best = Best("accuracy", higher_is_better=True)
    losses = [0.5, 0.6, 0.4, 0.4, math.nan, 0.3]
    found = [best.improved(epoch, {"accuracy": 1.0, "loss": loss}) for epoch, loss in enumerate(losses, 1)]
    assert found == [True, False, True, False, False, True]
    assert not best.improved(7, {"accuracy": 0.9, "loss": 0.1})
    assert (best.epoch, best.epochs_without) == (6, 1)
    older = Best("accuracy", higher_is_better=True, breaks_ties=False)
    assert [older.improved(epoch, {"accuracy": 1.0, "loss": loss}) for epoch, loss in enumerate(losses, 1)] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]


def test_the_direction_comes_from_the_metric():
    best = Best("accuracy", higher_is_better=True)
    assert best.improved(1, {"accuracy": 0.5})
    assert not best.improved(2, {"accuracy": 0.4})
    assert best.improved(3, {"accuracy": 0.6})
