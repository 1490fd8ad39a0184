"""Gradient-free searches choose what trying one candidate after another would choose."""

import math
import re
from contextlib import nullcontext
from itertools import pairwise, product

import pytest
import torch
from torch import nn

from trainer.engine.searched import SearchedUpdate
from trainer.engine.update import Update
from trainer.errors import ConfigError
from trainer.optim.direction_search import DirectionSearch
from trainer.optim.grid_search import GridSearch
from trainer.optim.random_search import RandomSearch
from trainer.schedules import constant


def parameters(*shapes):
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in shapes]


def bowl(candidates):
    """Return the loss in a narrow valley across the axes; a row's bits never depend on the others."""
    first, *rest = candidates.unbind(1)
    loss = (first - 0.7) ** 2
    for before, weight in zip([first, *rest], rest, strict=False):
        loss = loss + 3 * (weight - before * before) ** 2
    return loss


def one_by_one(present, closure, lr, tries, shrink=0.5, shortest=1e-6):
    """Run the algorithm literally; return the weights at the start and after every step it took."""
    directions = [torch.tensor(signs, dtype=present.dtype) for signs in product((1.0, -1.0), repeat=len(present))]
    weights, loss, number, failed, moves = present, closure(present[None])[0], 0, 0, [present]
    for _ in range(tries):
        candidate = weights + lr * directions[number]
        found = closure(candidate[None])[0]
        if found < loss:
            weights, loss, failed = candidate, found, 0
            moves.append(candidate)
            continue
        number, failed = (number + 1) % len(directions), failed + 1
        if failed == len(directions):
            lr, failed = lr * shrink, 0
            if lr < shortest:
                break
    return moves


@pytest.mark.parametrize("num_weights", [1, 2, 3, 5])
@pytest.mark.parametrize("tries", [1, 7, 40, 333, 10_000])
def test_direction_search_takes_the_steps_of_trying_one_after_another(num_weights, tries):
    (weights,) = parameters(num_weights)
    expected = one_by_one(weights.detach().clone(), bowl, 0.01, tries)
    asked = []

    def closure(candidates):
        asked.append(candidates)
        return bowl(candidates)

    loss = DirectionSearch([weights], lr=0.01, tries=tries).step(closure)
    assert torch.equal(weights, expected[-1])
    assert loss == bowl(expected[-1][None])
    seen = iter(torch.cat(asked).tolist())
    assert all(move.tolist() in seen for move in expected), "each was evaluated, in this order"
    if tries == 10_000:
        assert loss < 1e-6


def test_direction_search_crosses_a_plain_in_few_calls():
    (weights,) = parameters(2)
    calls = []

    def closure(candidates):
        calls.append(len(candidates))
        return -candidates.sum(1)

    start = weights.detach().clone()
    DirectionSearch([weights], lr=0.5, tries=1000).step(closure)
    assert torch.allclose(weights, start + 500)
    assert calls == [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 233]


def test_grid_search_finds_the_lowest_point():
    layers = parameters((2, 1), (1,))
    ranges = [[-1, 2, 0.5], [0, 1, 0.25], [3, 3, 1]]
    axes = [[-1, -0.5, 0, 0.5, 1, 1.5, 2], [0, 0.25, 0.5, 0.75, 1], [3]]
    points = [torch.tensor([point], dtype=torch.float64) for point in product(*axes)]
    best = min(points, key=lambda point: float(bowl(point)))
    loss = GridSearch(layers, ranges=ranges).step(bowl)
    assert torch.equal(torch.cat([layer.flatten() for layer in layers]), best[0])
    assert loss == bowl(best)


def test_a_grid_has_both_ends_and_each_point_once(monkeypatch):
    monkeypatch.setattr("trainer.optim.grid_search.NUMBERS", 20)  # blocks of ten points
    asked = []

    def closure(candidates):
        asked.append(candidates)
        return candidates.sum(1)

    GridSearch(parameters(2), ranges=[[0, 4, 0.1], [-0.3, 0.3, 0.1]]).step(closure)
    assert {len(block) for block in asked} == {10, 7}
    expected = torch.cartesian_prod(torch.arange(41).double() / 10, torch.arange(-3, 4).double() / 10)
    assert torch.allclose(torch.cat(asked), expected, rtol=0, atol=1e-12)


def test_random_search_keeps_its_best_draw_and_never_rises():
    (weights,) = parameters(3)
    optimizer = RandomSearch([weights], draws=50, lr=0.5)
    seen, before = [], float(bowl(weights.detach()[None]))

    def closure(candidates):
        seen.append(candidates)
        return bowl(candidates)

    for _ in range(40):
        seen.clear()
        loss = float(optimizer.step(closure))
        candidates = torch.cat(seen)
        assert len(candidates) == 51
        assert loss == float(bowl(candidates).min()) == float(bowl(weights.detach()[None]))
        assert loss <= before
        before = loss
    stay = weights.detach().clone()
    optimizer.step(lambda candidates: (candidates - stay).square().sum(1))
    assert torch.equal(weights, stay), "no draw beats the minimum"


@pytest.mark.parametrize("search", [GridSearch, RandomSearch])
def test_a_nan_loss_is_never_chosen(search):
    (weights,) = parameters(1)
    options = {"ranges": [-1, 1, 0.1]} if search is GridSearch else {"bounds": [-1, 1]}
    search([weights], **options).step(lambda c: torch.where(c[:, 0] < 0.5, math.nan, c[:, 0]))
    assert 0.5 <= weights.item() < 0.61


def test_draws_follow_their_settings_and_the_seed():
    def draws(seed, **options):
        weights, seen = nn.Parameter(torch.tensor([1.0, -1.0])), []
        torch.manual_seed(seed)
        RandomSearch([weights], **options).step(lambda c: seen.append(c) or c.square().sum(1))
        return torch.cat(seen)[1:], weights.detach()

    inside, best = draws(0, bounds=[[0, 1], [4, 6]])
    assert inside.min(0).values == pytest.approx([0, 4], abs=0.01)
    assert inside.max(0).values == pytest.approx([1, 6], abs=0.01)
    assert torch.equal(best, torch.tensor([1.0, -1.0])), "the present weights are better"
    around, _ = draws(0, lr=0.5)
    assert around.mean(0) == pytest.approx([1, -1], abs=0.03)
    assert around.std(0) == pytest.approx([0.5, 0.5], rel=0.05)
    assert torch.equal(draws(3)[0], draws(3)[0])
    assert not torch.equal(draws(3)[0], draws(4)[0])


def searched(model, optimizer, seen=None, **options):
    update = Update(model, optimizer, constant(optimizer, 10), **options)
    seen = [] if seen is None else seen
    return update, SearchedUpdate(model, nn.MSELoss(), update, nullcontext(), lambda *b: seen.append(b), X[:2])


torch.manual_seed(1)
X, Y = torch.randn(30, 2), torch.randn(30, 1)


def test_candidates_in_blocks_of_any_size_get_their_own_losses(monkeypatch):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    _, update = searched(model, RandomSearch(model.parameters()))
    candidates = torch.randn(100, 13)
    alone = []
    for candidate in candidates:
        nn.utils.vector_to_parameters(candidate, model.parameters())
        alone.append(nn.functional.mse_loss(model(X), Y).detach())
    window = [(X[:20], Y[:20]), (X[20:], Y[20:])]
    for numbers in (1, 2**12, 2**20):
        monkeypatch.setattr("trainer.engine.searched.NUMBERS", numbers)
        assert torch.allclose(update._losses(candidates, window, 30), torch.stack(alone), atol=1e-6)


def test_an_update_by_search_is_recorded_like_any_other():
    model, seen = nn.Linear(2, 1), []
    update, shortcut = searched(model, GridSearch(model.parameters(), ranges=[-1, 1, 0.25]), seen, ema=0.5)
    value = shortcut([(X[:20], Y[:20]), (X[20:], Y[20:])], 30)
    axis = torch.linspace(-1, 1, 9)
    losses = [(((X @ point[:2, None] + point[2]) - Y) ** 2).mean() for point in torch.cartesian_prod(*[axis] * 3)]
    best = torch.cartesian_prod(*[axis] * 3)[torch.stack(losses).argmin()]
    assert torch.equal(torch.cat([model.weight.detach()[0], model.bias.detach()]), best)
    assert value.item() == pytest.approx(float(min(losses)), rel=1e-5)
    assert (update.num_steps, update.loss, update.scheduler.num_steps) == (1, value, 1)
    assert torch.equal(update.averaged_model.weight, model.weight)
    outputs, targets, _ = (torch.cat([torch.atleast_1d(part) for part in column]) for column in zip(*seen, strict=True))
    assert torch.equal(outputs, model(X).detach())
    assert torch.equal(targets, Y)
    assert float(update.gradient_norm()) == 0


def test_frozen_weights_do_not_move():
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    before = model.weight.clone()
    _, shortcut = searched(model, GridSearch(model.parameters(), ranges=[-1, 1, 0.5]))
    shortcut([(X, Y)], 30)
    assert torch.equal(model.weight, before)
    assert model.bias.item() in (-1, -0.5, 0, 0.5, 1)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.BatchNorm1d(2), "Batch norm got a batched tensor"),
        (nn.GRU(2, 2), "Batching rule not implemented for aten::gru"),
    ],
)
def test_a_model_that_vmap_cannot_evaluate_is_rejected_in_one_line(layer, why):
    with pytest.raises(ConfigError) as refusal:
        searched(nn.Sequential(nn.Linear(2, 2), layer), RandomSearch(layer.parameters()))
    assert str(refusal.value).startswith("optim: RandomSearch evaluates many weights in one call, and this Sequential")
    assert why in str(refusal.value)
    assert str(refusal.value).endswith("; use optim=adam")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        (GridSearch, {"ranges": [1, 0, 0.1]}, "[1, 0, 0.1]: expected [from, to, step]"),
        (GridSearch, {"ranges": [0, 1]}, "ranges=[0, 1]: expected 3 numbers"),
        (GridSearch, {"ranges": [[0, 1, "a"]]}, "expected 3 numbers"),
        (RandomSearch, {"draws": 0}, "draws=0: expected at least 1"),
        (RandomSearch, {"lr": 0}, "lr=0: expected a number above 0"),
        (RandomSearch, {"bounds": [1, 0]}, "bounds: [1, 0]: expected [from, to]"),
        (DirectionSearch, {"shrink": 1}, "shrink=1: expected a factor between 0 and 1"),
        (DirectionSearch, {"tries": 0}, "tries=0: expected at least 1"),
        (DirectionSearch, {"shortest": 0}, "shortest=0: expected a length above 0"),
    ],
)
def test_an_option_out_of_range_is_refused(search, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        search(parameters(1), **options)


RUN = ("data=diabetes", "model=linear")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optim=grid_search"], "the grid of 11 weights has 10^14.5 points, and at most 10,000,000 can be tried"),
        (["optim=grid_search", "model=mlp"], "the grid of 137,217 weights has 10^"),
        (["optim=grid_search", "optim.ranges=[[0,1,1],[0,1,1]]"], "ranges has 2 lists, and the model has 11 weights"),
        (["optim=grid_search", "optim.ranges=[0,1e9,1e-9]", "data=line"], "has 10^36.0 points"),
        (["optim=direction_search", "model=mlp", "model.hidden=[2]"], "25 weights have 2^25 directions"),
        (
            ["optim=random_search", "model=mlp"],
            "random search takes at most 10,000 weights, and the model has 137,217",
        ),
        (["optim=random_search", "optim.bounds=[[0,1],[0,1]]"], "bounds has 2 lists, and the model has 11 weights"),
        (["optim=random_search", "model=scratch"], "this Scratch does not allow it"),
        (["optim=grid_search", "optim.ranges=[0,1,0]"], "[0, 1, 0]: expected [from, to, step]"),
    ],
)
def test_an_invalid_search_is_rejected_before_a_run_starts(dltrain, arguments, message):
    outcome = dltrain(*RUN, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert outcome.folder is None or not (outcome.folder / "environment.json").exists()


def test_a_search_over_mini_batches_warns(dltrain):
    for size, warned in ((32, True), ("full", False)):
        outcome = dltrain(*RUN, "optim=random_search", "optim.draws=3", f"data.batch_size={size}")
        assert (
            "warning: RandomSearch keeps the weights that are best for a single mini-batch" in outcome.out
        ) == warned


def test_the_loss_of_a_search_falls_from_epoch_to_epoch(dltrain):
    outcome = dltrain(*RUN, "optim=random_search", "optim.draws=200", "epochs=8", "optim.lr=0.1", "precision=fp64")
    rows = [line.split(",") for line in (outcome.folder / "metrics.csv").read_text().splitlines()]
    losses = [float(row[rows[0].index("train/loss")]) for row in rows[1:]]
    assert len(losses) == 8
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "options", [["precision=bf16"], ["precision=fp64"], ["compile=true"], ["accumulate=2", "clip=1"]]
)
def test_other_settings_work_with_a_search(dltrain, options):
    drawn = ("plots=auto", "tensorboard=full")
    outcome = dltrain("data=iris", "model=logistic", "optim=random_search", "epochs=5", *drawn, *options)
    assert outcome.code == 0, outcome.err
    assert outcome.summary["test"]["accuracy"] > 0.8
