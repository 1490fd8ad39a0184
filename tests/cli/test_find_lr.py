"""The learning-rate range test: where it stops on a quadratic, what it suggests, and that it trains like a run."""

import csv
import math
import re
import shlex
from contextlib import nullcontext
from itertools import islice, pairwise

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from trainer.engine.lr_range import WINDOW, Curve, range_test
from trainer.engine.update import Update
from trainer.schedules import constant


class Loader:
    """Yields the same batches in every epoch."""

    def __init__(self, batches):
        self.batches, self.epoch = batches, 0

    def set_epoch(self, epoch, start=0):
        self.epoch = epoch

    def __iter__(self):
        return iter(self.batches)


def trial(batches, lowest=1e-7, highest=10.0, steps=100, optimizer=torch.optim.SGD, **options):
    torch.manual_seed(0)
    model = nn.Linear(batches[0][0].shape[1], 1, bias=False)
    made = optimizer(model.parameters(), lr=0.123)
    update = Update(model, made, constant(made, steps), **options)
    settings = {"lowest": lowest, "highest": highest, "steps": steps}
    return range_test(model, nn.MSELoss(), Loader(batches), update, autocast=nullcontext(), **settings), model


@pytest.mark.parametrize("curvature", [2.0, 20.0, 200.0])
def test_it_stops_near_where_gradient_descent_on_a_quadratic_diverges_and_suggests_less(curvature):
    """The Hessian of the mean of (x w - y)^2 is 2 x'x / N: diagonal for this x, largest entry `curvature`."""
    x = torch.linalg.qr(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)))[0]
    x = x * (64 * curvature / 2 * torch.tensor([1, 0.5, 0.2, 0.1])).sqrt()
    diverges = 2 / curvature
    curve, _ = trial([(x, x @ torch.ones(4, 1) + 0.5)])
    assert diverges < curve.lrs[-1] < 10 * diverges  # components that have vanished must grow first
    suggestions = [curve.lrs[index] for index in curve.suggestions().values()]
    assert len(suggestions) == 2
    assert all(diverges / 100 < lr < diverges for lr in suggestions)


def batches(num=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(5, 3, generator=generator), torch.randn(5, 1, generator=generator)) for _ in range(num)]


@pytest.mark.parametrize("options", [{}, {"clip": 0.1}, {"accumulate": 3}])
def test_it_makes_the_updates_of_a_run_at_rates_that_rise_by_the_same_factor(options):
    curve, model = trial(batches(), 1e-3, 1e-1, 30, **options)
    assert (curve.lrs[0], curve.lrs[-1]) == pytest.approx((1e-3, 1e-1))
    ratios = [after / before for before, after in pairwise(curve.lrs)]
    assert ratios == pytest.approx([100 ** (1 / 29)] * 29)

    torch.manual_seed(0)
    by_hand = nn.Linear(3, 1, bias=False)
    endless = (batch for _ in range(1000) for batch in batches())
    losses = []
    for lr in curve.lrs:
        by_hand.zero_grad()
        window = list(islice(endless, options.get("accumulate", 1)))
        value = sum(nn.functional.mse_loss(by_hand(x), y) for x, y in window) / len(window)
        value.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), options.get("clip", math.inf))
        with torch.no_grad():
            by_hand.weight -= lr * by_hand.weight.grad
        losses.append(float(value.detach()))
    # A run would make three updates of an epoch of 7 batches; here windows of three cross the ends of epochs.
    assert curve.losses == pytest.approx(losses)
    assert torch.allclose(model.weight, by_hand.weight)


def test_the_smoothed_loss_is_an_exponentially_weighted_mean():
    curve, _ = trial(batches(), 1e-3, 1e-2, 40)
    for n in (1, 2, 40):
        weights = [0.9 ** (n - 1 - i) for i in range(n)]
        mean = sum(w * loss for w, loss in zip(weights, curve.losses, strict=False)) / sum(weights)
        assert curve.smoothed[n - 1] == pytest.approx(mean)


def test_the_suggestion_lies_on_the_slope_of_a_step_and_a_flat_curve_has_none():
    lrs = [10 ** (-7 + i / 12) for i in range(96)]
    step = [1 / (1 + math.exp((i - 50) / 4)) for i in range(96)]
    assert Curve(lrs, step, step).steepest == 50
    assert Curve(lrs, step, step).suggestions()["minimum / 10"] == 95 - 12
    for losses in ([1.0] * 96, [float(i) for i in range(96)]):
        assert Curve(lrs, losses, losses).suggestions() == {}
    assert WINDOW < 30  # the fewest steps allowed


def test_a_non_finite_loss_ends_the_test():
    x, y = torch.ones(4, 1), torch.full((4, 1), 1e10)
    curve, _ = trial([(x, y)], 1e-3, 1e30, 60)
    assert 2 < len(curve.lrs) < 60
    assert all(map(math.isfinite, curve.losses))
    assert trial([(x, y * math.nan)])[0].lrs == []


def test_the_command_prints_a_line_to_train_with_and_writes_picture_and_numbers(dltrain):
    given = ["model=mlp", "data=diabetes", "optim.lr=7", "model.hidden=[16,8]"]
    outcome = dltrain("find-lr", *given)
    assert (outcome.code, outcome.err) == (0, "")
    command = shlex.split(re.search(r"train with it +(dltrain .*)", outcome.out)[1])
    suggested = re.findall(r"(?:steepest fall|minimum / 10) +(optim.lr=\S+)", outcome.out)
    lr = max(suggested, key=lambda line: float(line.split("=")[1]))
    assert len(suggested) == 2
    assert command == ["dltrain", "model=mlp", "data=diabetes", "model.hidden=[16,8]", lr]
    assert re.fullmatch(r"[\d-]+-find-lr-mlp-diabetes", outcome.folder.name)
    assert {file.name for file in outcome.folder.iterdir()} == {"lr_range.csv", "lr_range.png"}
    height, width, _ = imread(outcome.folder / "lr_range.png").shape
    assert 300 < height < 1500
    assert 500 < width < 2000
    with (outcome.folder / "lr_range.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} updates" in outcome.out
    assert float(rows[0]["lr"]) == pytest.approx(1e-7)
    trained = dltrain(*command[1:], "epochs=5", "baselines=auto")
    assert trained.summary["test"]["rmse"] < trained.summary["baselines"]["mean"]["rmse"]


def test_find_lr_does_not_affect_later_runs(dltrain, one_thread):
    given = ["model=mlp", "data=iris", "epochs=2"]
    before = dltrain(*given).summary["best"]
    assert dltrain("find-lr", *given, "steps=30").code == 0
    assert dltrain(*given).summary["best"] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optim=lbfgs"], "LBFGS chooses its own step length"),
        (["optim=rprop"], "Rprop chooses its own step length"),
        (["steps=9"], "at least 30 steps"),
        (["lowest=1", "highest=0.1"], "lowest below highest"),
        (["highest=much"], "highest=much: expected a number above 0"),
        (["optim.lrr=1"], "did you mean optim.lr?"),
        (["step=9"], "did you mean"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_no_folder(dltrain, arguments, message):
    outcome = dltrain("find-lr", "data=iris", "model=mlp", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not outcome.folder
