import inspect
import math
import sys
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from trainer.data.tensors import Examples, TensorLoader
from trainer.engine.loop import Position, Report, evaluate, fit, windows
from trainer.engine.meter import Meter
from trainer.engine.stopping import Budget
from trainer.engine.update import Update
from trainer.metrics.values import MSE
from trainer.schedules import constant


def loader(num_examples, batch_size, *, shuffle=True, limit=math.inf):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num_examples, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.randn(num_examples, 1, generator=generator)
    return TensorLoader(Examples(x, y), batch_size, prepare=lambda b: b, shuffle=shuffle, limit=limit)


def run(batch_size=10, accumulate=1, num_examples=100, epochs=2, optimizer=torch.optim.SGD, model=None, **options):
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optim = optimizer(model.parameters(), lr=options.pop("lr", 0.1))
    update = Update(model, optim, constant(optim, 10), accumulate=accumulate, **options)
    train = loader(num_examples, batch_size)
    reports = fit(
        model,
        nn.MSELoss(),
        train,
        loader(50, 50, shuffle=False),
        update,
        (Meter({"mse": MSE()}), Meter({"mse": MSE()})),
        epochs=epochs,
        autocast=nullcontext(),
    )
    return model, update, list(reports)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("num_examples", [100, 80, 47, 41, 81, 51])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.LBFGS])
def test_accumulating_four_batches_of_ten_equals_a_batch_of_forty(num_examples, optimizer):
    torch.set_default_dtype(torch.float64)
    try:
        whole, _, big = run(40, 1, num_examples, optimizer=optimizer)
        parts, _, small = run(10, 4, num_examples, optimizer=optimizer)
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(big) == len(small)
    assert torch.allclose(weights(whole), weights(parts), atol=1e-6, rtol=0)
    assert [r.step for r in big] == [r.step for r in small]
    assert float(big[0].loss) == pytest.approx(float(small[0].loss), abs=1e-6)


def test_the_last_window_holds_the_remaining_batches():
    sizes = [(len(window), size) for window, size in windows(loader(47, 10), 4)]
    assert sizes == [(4, 40), (1, 7)]


def test_the_update_is_plain_gradient_descent():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    expected = nn.Linear(3, 1)
    expected.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    run(100, epochs=1, model=model)
    for x, y in loader(100, 100):
        gradient_w = 2 * ((expected(x) - y) * x).mean(0)
        gradient_b = 2 * (expected(x) - y).mean()
    assert torch.allclose(model.weight[0], expected.weight[0] - 0.1 * gradient_w, atol=1e-6)
    assert torch.allclose(model.bias[0], expected.bias[0] - 0.1 * gradient_b, atol=1e-6)


def test_reports_come_after_every_update_and_every_epoch_with_counters_up_to_date():
    _, update, reports = run(batch_size=10, num_examples=30, epochs=2)
    assert [(r.epoch, r.step, r.num_examples, bool(r.val)) for r in reports] == [
        (1, 1, 10, False),
        (1, 2, 20, False),
        (1, 3, 30, False),
        (1, 3, 30, True),
        (2, 4, 40, False),
        (2, 5, 50, False),
        (2, 6, 60, False),
        (2, 6, 60, True),
    ]
    assert update.num_steps == 6


def test_the_loss_of_an_epoch_is_the_mean_over_examples_not_over_batches():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    _, _, reports = run(batch_size=9, num_examples=20, epochs=1, lr=0.0, model=model)
    x, y = loader(20, 20).inputs, loader(20, 20).targets
    expected = (model(x) - y).square().mean().item()
    assert reports[-1].train["loss"] == pytest.approx(expected, rel=1e-6)
    assert reports[-1].train["mse"] == pytest.approx(reports[-1].train["loss"], rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 50])
@torch.no_grad()
def test_evaluation_does_not_depend_on_the_batch_size(batch_size):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    results = evaluate(
        model, nn.MSELoss(), loader(50, batch_size, shuffle=False), Meter({"mse": MSE()}), autocast=nullcontext()
    )
    x, y = loader(50, 50).inputs, loader(50, 50).targets
    expected = float((model(x) - y).square().mean())
    assert results["loss"] == pytest.approx(expected, rel=1e-6)
    assert results["mse"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("accumulate", "max_steps"), [(1, 7), (3, 5), (1, 3)])
def test_a_budget_stops_after_exactly_max_steps_and_still_validates(accumulate, max_steps):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optim = torch.optim.SGD(model.parameters(), lr=0.1)
    update = Update(model, optim, constant(optim, 10), accumulate=accumulate)
    budget = Budget(update, max_steps=max_steps)
    val = loader(50, 50, shuffle=False)
    meters = (Meter({}), Meter({}))
    options = {"epochs": 100, "autocast": nullcontext(), "track": budget.limit}
    for report in fit(model, nn.MSELoss(), loader(100, 10), val, update, meters, **options):
        if report.val and budget.spent:
            break
    assert update.num_steps == max_steps
    assert report.val["loss"] > 0


def test_lbfgs_evaluates_the_first_loss_once():
    calls = []

    class Counting(nn.Linear):
        def forward(self, x):
            calls.append(self.training)
            return super().forward(x)

    torch.manual_seed(0)
    _, update, _ = run(100, optimizer=torch.optim.LBFGS, model=Counting(3, 1), epochs=1, lr=1.0)
    evaluations = update.optimizer.state[update.optimizer._params[0]]["func_evals"]
    assert calls.count(True) == evaluations > 2


def test_the_model_is_called_at_most_five_frames_below_fit():
    depths = []

    class Looking(nn.Linear):
        def forward(self, x):
            frame, depth = sys._getframe(), 0
            while frame is not None and frame.f_code is not fit.__code__:
                frame, depth = frame.f_back, depth + 1
            if frame is not None:
                depths.append(depth)
            return super().forward(x)

    run(model=Looking(3, 1), epochs=1, num_examples=10)
    assert 0 < min(depths) <= 5  # gradient, forward, and three of torch


def test_the_loop_fits_on_one_screen():
    assert len(inspect.getsource(fit).splitlines()) <= 60


def test_a_report_can_be_made_without_metrics():
    assert not Report(1, 1, 10, torch.zeros(()), Position(1, 1, 10)).val
