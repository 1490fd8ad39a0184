"""95 % intervals of test metrics."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from trainer.data.tensors import Examples, TensorLoader
from trainer.engine import resampling
from trainer.engine.intervals import intervals, of_test
from trainer.engine.loop import evaluate
from trainer.engine.meter import Meter
from trainer.engine.resampling import seconds_of, weights
from trainer.engine.trace import KeepingMeter
from trainer.losses import BCE, NLL, CrossEntropy, of_each
from trainer.metrics.bounds import percentiles, wilson
from trainer.metrics.built_in import METRICS
from trainer.metrics.own import Own


def made(*names):
    return {name: METRICS[name]() for name in names}


def regression(num, generator=None):
    targets = torch.randn(num, 1, generator=generator)
    return targets + 0.5 * torch.randn(num, 1, generator=generator), targets


@pytest.mark.parametrize(("hits", "num"), [(0, 30), (29, 30), (30, 30), (700, 1000)])
def test_a_shares_interval_is_wilsons(hits, num):
    expected = stats.binomtest(hits, num).proportion_ci(method="wilson")
    assert wilson(hits / num, num) == pytest.approx((expected.low, expected.high), abs=1e-12)
    right = torch.arange(num) < hits
    found = intervals(torch.where(right, 1.0, -1.0)[:, None], torch.ones(num, 1), made("accuracy", "recall"))
    assert found.intervals["accuracy"] == found.intervals["recall"] == pytest.approx(wilson(hits / num, num))


@pytest.mark.parametrize("num", [5, 30, 10_000])
def test_percentiles_are_those_that_make_a_normal_interval_students(num):
    draws = np.random.default_rng(0).normal(size=1000).tolist()
    tail = stats.norm.cdf(-math.sqrt(num / (num - 1)) * stats.t.ppf(0.975, num - 1))
    assert percentiles(draws, num) == pytest.approx(np.quantile(draws, [tail, 1 - tail]), rel=0.02)
    if num > 1000:
        assert percentiles(draws, num) == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=0.001)


def test_no_interval_is_better_than_a_wrong_one():
    assert percentiles([1.0] * 100, 30) is None  # a perfect score among few
    assert percentiles([0.1, 0.2, *[math.nan] * 3], 30) is None
    assert percentiles([0.1, 0.2], 1) is None
    calibration = intervals(torch.randn(50, 1), torch.ones(50, 1), made("ece")).intervals
    assert calibration == {}


def test_a_weight_depends_on_the_draw_and_on_the_examples_row_alone():
    few, many = torch.tensor([3, 70, 8]), torch.arange(100)
    some, every = (torch.cat([*weights(keys, 100)]) for keys in (few, many))
    assert torch.equal(some, every[:, few])
    assert torch.equal(torch.cat([*weights(many, 1000)])[:100], every)
    drawn = torch.cat([*weights(torch.arange(500), 1000)])
    assert drawn.mean().item() == pytest.approx(1, abs=0.01)
    assert drawn.var().item() == pytest.approx(1, abs=0.02)


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    outputs, targets = regression(4000, torch.Generator().manual_seed(0))
    low, high = intervals(outputs, targets, made("mse")).intervals["mse"]
    squares = (outputs - targets).double().square()
    half = 1.96 * squares.std().item() / math.sqrt(4000)
    assert (low + high) / 2 == pytest.approx(squares.mean().item(), abs=0.2 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_examples_of_a_group_are_drawn_together():
    outputs, targets = regression(60, torch.Generator().manual_seed(0))
    metrics = made("rmse", "mae", "r2", "median_ae")
    alone = intervals(outputs, targets, metrics)
    copies = torch.arange(60).repeat_interleave(5)
    grouped = intervals(outputs[copies], targets[copies], metrics, groups=copies)
    for name in ("rmse", "mae", "r2"):  # copies change no mean
        assert grouped.draws[name] == pytest.approx(alone.draws[name], rel=1e-4)
        assert grouped.intervals[name] == pytest.approx(alone.intervals[name], rel=1e-4)
    naive = intervals(outputs[copies], targets[copies], metrics)
    low, high = naive.intervals["rmse"]
    assert high - low < 0.6 * (alone.intervals["rmse"][1] - alone.intervals["rmse"][0])
    right = (torch.arange(60) % 4 > 0).float()[copies][:, None]
    share = intervals(2 * right - 1, torch.ones(300, 1), made("accuracy"), groups=copies).intervals["accuracy"]
    assert share == pytest.approx(wilson(0.75, 60), abs=0.05)


def test_values_are_in_the_targets_units_and_losses_as_given():
    outputs, targets = regression(80, torch.Generator().manual_seed(0))
    losses = (outputs - targets).square()[:, 0]
    found = intervals(outputs, targets, made("mse"), lambda values: 10 * values + 5, losses=losses)
    assert found.draws["mse"] == pytest.approx([100 * loss for loss in found.draws["loss"]], rel=1e-4)


def test_of_three_classes_each_metric_lies_within_its_interval():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (150,), generator=generator)
    outputs = torch.eye(3)[targets] + torch.randn(150, 3, generator=generator)
    names = (
        "accuracy",
        "f1_macro",
        "balanced_accuracy",
        "mcc",
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "top2",
    )
    found = intervals(outputs, targets, made(*names)).intervals
    for name, metric in made(*names).items():
        metric.update(outputs, targets)
        low, high = found[name]
        assert low < float(metric.compute()) < high
        assert high - low < 0.5


def test_many_examples_get_fewer_draws_and_slow_metrics_none(monkeypatch):
    metrics = [METRICS["accuracy"](), METRICS["f1_macro"]()]
    for num, expected in ((10_000, 1000), (100_000, 100), (1_000_000, 0)):
        assert resampling.affordable(seconds_of(metrics, torch.arange(num), 10)) == expected
    assert resampling.affordable(seconds_of([METRICS["auc"]()], torch.arange(10_000), 1)) == 1000
    few = torch.tensor([-1, 10**15])  # of a table with many rows
    assert resampling.affordable(seconds_of(metrics, few, 10)) >= 100
    assert next(weights(few, 20)).shape == (20, 2)
    outputs, targets = regression(50)
    monkeypatch.setattr(resampling, "affordable", lambda seconds: 100)
    found = intervals(outputs, targets, made("rmse"))
    assert len(found.draws["rmse"]) == 100
    assert found.notes == ("95 % intervals of rmse are from 100 draws",)
    monkeypatch.setattr(resampling, "affordable", lambda seconds: 0)
    own = Own("mymetrics.bias", lambda outputs, targets: (outputs - targets).mean())
    share = METRICS["accuracy"]()  # needs no draws
    found = intervals(outputs, (targets > 0).float(), {"bias": own, "accuracy": share})
    assert found.intervals.keys() == {"accuracy"}
    assert found.notes == ("no 95 % intervals of bias: they would take more than 0.5 s",)


def test_ones_own_metric_is_computed_of_the_examples_drawn():
    outputs, targets = regression(40, torch.Generator().manual_seed(0))
    own = Own("mymetrics.squared", lambda outputs, targets: (outputs - targets).square().mean())
    found = intervals(outputs, targets, {"own": own, **made("mse")})
    assert found.draws["own"] == pytest.approx(found.draws["mse"], rel=1e-4)


def test_a_draw_for_which_ones_own_metric_fails_does_not_count():
    targets = (torch.arange(40) < 3).float()[:, None]
    outputs = targets + torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    own = Own("mymetrics.recall", lambda outputs, targets: int((outputs > 0)[targets > 0].sum()) / int(targets.sum()))
    found = intervals(outputs, targets, {"own": own, **made("auc")})
    failed = [math.isnan(value) for value in found.draws["own"]]
    assert failed == [math.isnan(value) for value in found.draws["auc"]]
    assert 0.02 < sum(failed) / 1000 < 0.1  # exp(-3) of the draws have no positive example
    assert found.intervals.keys() == {"own", "auc"}


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.MSELoss(), torch.randn(9, 1)),
        (nn.HuberLoss(), torch.randn(9, 1)),
        (BCE([3, 6]), (torch.randn(9, 1) > 0).float()),
        (BCE([3, 6], "balanced", 0.1), (torch.randn(9, 1) > 0).float()),
        (CrossEntropy([3, 3, 3], [1.0, 2.0, 0.5], 0.1), torch.arange(9) % 3),
        (NLL([3, 3, 3]), torch.arange(9) % 3),
        (nn.MultiMarginLoss(), torch.arange(9) % 3),
    ],
)
def test_the_losses_of_the_examples_are_those_of_batches_of_one(loss, targets):
    outputs = torch.randn(9, 3 if targets.ndim == 1 else 1)
    expected = [loss(outputs[i : i + 1], targets[i : i + 1]).item() for i in range(9)]
    assert of_each(loss, outputs, targets).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_loss_that_is_no_mean_of_the_examples_has_no_interval():
    targets = torch.arange(9) % 3
    assert of_each(nn.CrossEntropyLoss(torch.tensor([1.0, 5, 9])), torch.randn(9, 3), targets) is None
    assert of_each(F.cross_entropy, torch.randn(9, 3), targets) is None


def test_outputs_that_are_not_all_kept_have_no_intervals(monkeypatch):
    targets = torch.randn(30, 1)
    test = TensorLoader(Examples(targets, targets), 10, prepare=lambda inputs: inputs + 1)
    for limit, notes in ((30, 0), (29, 1)):
        monkeypatch.setattr("trainer.engine.trace.OUTPUTS", limit)
        meter = KeepingMeter(Meter(made("rmse", "mae")))
        evaluate(nn.Linear(1, 1), nn.MSELoss(), test, meter, autocast=torch.no_grad())
        found = of_test(meter, test, nn.MSELoss())
        assert (len(found.intervals), len(found.notes)) == (0 if notes else 3, notes)


def test_the_interval_holds_the_true_value_in_about_95_of_100_test_splits(monkeypatch):
    """Quick; benchmarks/coverage.py judges all metrics, and more splits."""
    monkeypatch.setattr(resampling, "affordable", lambda seconds: 200)
    normal = stats.norm
    num_splits, hits = 200, dict.fromkeys(("rmse", "mae", "r2", "accuracy", "auc", "balanced_accuracy"), 0)
    true = {"rmse": 0.5, "mae": 0.5 * math.sqrt(2 / math.pi), "r2": 0.75, "accuracy": normal.cdf(1)}
    true |= {"auc": normal.cdf(math.sqrt(2)), "balanced_accuracy": normal.cdf(1)}
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_splits):
        found = intervals(*regression(200, generator), made("rmse", "mae", "r2")).intervals
        targets = (torch.rand(200, 1, generator=generator) < 0.5).float()
        outputs = 2 * targets - 1 + torch.randn(200, 1, generator=generator)
        found |= intervals(outputs, targets, made("accuracy", "auc", "balanced_accuracy")).intervals
        for name in hits:
            hits[name] += found[name][0] <= true[name] <= found[name][1]
    assert all(0.91 * num_splits <= count <= 0.985 * num_splits for count in hits.values()), hits
    assert 0.93 <= sum(hits.values()) / (len(hits) * num_splits) <= 0.97, hits
