import math

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

from trainer.engine.update import Update
from trainer.schedules import constant, cosine

X = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
Y = torch.tensor([[1.0], [2.0], [3.0]])


def make(optimizer=torch.optim.SGD, lr=0.1, schedule=constant, **options):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optim = optimizer(model.parameters(), lr=lr)
    return model, Update(model, optim, schedule(optim, 10), **options)


def step(model, update, factor=1.0):
    def gradient():
        update.zero_grad()
        update.backward(factor * (model(X) - Y).square().mean())
        return update.loss

    gradient()
    update.step(gradient)


def gradient_norm(model):
    return float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())


def test_clipping_shortens_the_gradient_to_the_limit_and_keeps_its_direction():
    free, free_update = make()
    step(free, free_update)
    clipped, clipped_update = make(clip=0.5)
    step(clipped, clipped_update)
    assert gradient_norm(clipped) == pytest.approx(0.5, rel=1e-5)
    length = gradient_norm(free)
    assert length > 0.5
    assert torch.allclose(clipped.weight.grad * length / 0.5, free.weight.grad, rtol=1e-4)
    assert float(clipped_update.gradient_norm()) == pytest.approx(length, rel=1e-6)
    assert float(free_update.gradient_norm()) == pytest.approx(length, rel=1e-6)


def test_a_limit_above_the_norm_changes_nothing():
    free, update = make()
    step(free, update)
    clipped, update = make(clip=1e6)
    step(clipped, update)
    assert torch.equal(free.weight, clipped.weight)


def test_shares_add_up_to_the_whole():
    model, update = make()
    update.zero_grad()
    update.backward((model(X[:2]) - Y[:2]).square().mean(), share=2 / 3)
    update.backward((model(X[2:]) - Y[2:]).square().mean(), share=1 / 3)
    parts = model.weight.grad.clone()
    loss = float(update.loss)
    update.zero_grad()
    update.backward((model(X) - Y).square().mean())
    assert torch.allclose(parts, model.weight.grad, atol=1e-6)
    assert loss == pytest.approx(float(update.loss), rel=1e-6)


def test_an_overflow_skips_the_step_the_schedule_and_the_average():
    scaler = GradScaler("cpu", init_scale=1024.0)
    model, update = make(schedule=cosine, scaler=scaler, ema=0.5)
    before, lr = model.weight.clone(), update.lr
    step(model, update, factor=math.inf)
    assert torch.equal(model.weight, before)
    assert (update.lr, update.num_steps, update.num_skipped) == (lr, 0, 1)
    assert torch.equal(update.averaged_model.weight, before)
    assert scaler.get_scale() == 512
    step(model, update)
    assert not torch.equal(model.weight, before)
    assert update.lr < lr
    assert (update.num_steps, update.num_skipped) == (1, 1)


def test_the_scale_is_restored():
    def made():
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        return model, Update(model, optimizer, constant(optimizer, 10), scaler=scaler)

    model, update = made()
    update.zero_grad()
    update.backward(model(torch.full((1, 2), torch.inf)).sum())
    update.step(lambda: torch.zeros(()))
    assert update.num_skipped == 1
    _, fresh = made()
    fresh.load_state_dict(update.state_dict())
    assert fresh.scaler.get_scale() == update.scaler.get_scale() == 512
    assert fresh.num_skipped == 1
    assert made()[1].scaler.get_scale() == 1024, "without its state it would start over"


def test_a_scaled_step_equals_a_plain_one():
    plain, plain_update = make(clip=0.3)
    scaled, scaled_update = make(clip=0.3, scaler=GradScaler("cpu", init_scale=1024.0))
    step(plain, plain_update)
    step(scaled, scaled_update)
    assert torch.allclose(plain.weight, scaled.weight, atol=1e-7)
    assert float(plain_update.gradient_norm()) == pytest.approx(float(scaled_update.gradient_norm()), rel=1e-6)


def test_the_average_follows_the_weights_and_is_evaluated():
    model, update = make(ema=0.9)
    expected = None
    for number in range(5):
        step(model, update)
        forget = 1 - min(0.9, (1 + number) / (10 + number))
        now = model.weight.detach().clone()
        expected = now if expected is None else expected + forget * (now - expected)
    assert torch.allclose(update.averaged_model.weight, expected, atol=1e-6)
    assert not torch.allclose(update.averaged_model.weight, model.weight, atol=1e-4)


def test_without_an_average_the_model_itself_is_evaluated():
    model, update = make()
    assert update.averaged_model is model


def test_lbfgs_finds_the_least_squares_solution():
    model, update = make(torch.optim.LBFGS, lr=1.0)
    for _ in range(20):
        step(model, update)
    design = torch.cat([X, torch.ones(3, 1)], 1)
    solution = torch.linalg.lstsq(design, Y).solution.flatten()
    found = torch.cat([model.weight[0], model.bias]).detach()
    assert torch.allclose(found, solution, atol=1e-3)


def test_lbfgs_rejects_a_gradient_scaler():
    with pytest.raises(ValueError, match="LBFGS"):
        make(torch.optim.LBFGS, scaler=GradScaler("cpu"))


def test_a_torch_scheduler_is_stepped_after_each_update():
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optim = torch.optim.SGD(model.parameters(), lr=1.0)
    update = Update(model, optim, torch.optim.lr_scheduler.StepLR(optim, 2, gamma=0.1))
    rates = []
    for _ in range(5):
        rates.append(update.lr)
        step(model, update)
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01])
