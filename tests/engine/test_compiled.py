"""compile=true computes in one graph what the loop computes."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from trainer.data.tensors import Examples, TensorLoader
from trainer.engine.clock import Clock
from trainer.engine.compiled import TIMED, CompiledUpdate
from trainer.engine.loop import fit
from trainer.engine.meter import Meter
from trainer.engine.update import Update
from trainer.metrics.values import MSE
from trainer.schedules import cosine

EPOCHS = 5


@pytest.fixture(autouse=True)
def double_precision():
    """Compute in double precision, so that the order of a sum does not matter."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    torch.compiler.set_stance("default")


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 1)
    )


class Restless(nn.Linear):
    """Branches on a value, which a graph cannot."""

    def forward(self, inputs):
        outputs = super().forward(inputs)
        return outputs if float(outputs.detach().sum()) > 1e9 else 1.0 * outputs


def run(make_model, optimizer, *, compiled, accumulate=1, num_examples=103, **options):
    """Return state, losses, messages and shortcut of a run whose last window is short."""
    torch.manual_seed(0)
    inputs = torch.randn(num_examples, 1, 8, 8)
    targets = inputs.flatten(1)[:, :3].sum(1, keepdim=True) + 0.1 * torch.randn(num_examples, 1)
    model = make_model()
    optim = optimizer(model.parameters())
    train, val = (
        TensorLoader(Examples(inputs, targets), 10, prepare=lambda b: b, shuffle=shuffle) for shuffle in (True, False)
    )
    update = Update(model, optim, cosine(optim, EPOCHS * len(train)), accumulate=accumulate, **options)
    meters = Meter({"mse": MSE()}), Meter({"mse": MSE()})
    said = []
    loss = nn.MSELoss()
    clock = Clock(torch.device("cpu"))
    shortcut = None
    if compiled:
        shortcut = CompiledUpdate(model, loss, update, nullcontext(), meters[0].update, clock, said.append)
    reports = list(
        fit(
            model,
            loss,
            train,
            val,
            update,
            meters,
            epochs=EPOCHS if accumulate == 1 else EPOCHS * accumulate,
            autocast=nullcontext(),
            lap=clock.lap,
            shortcut=shortcut or (lambda window, size: None),
        )
    )
    state = torch.cat([t.flatten().double() for t in model.state_dict().values()])
    numbers = torch.tensor([float(r.loss) for r in reports] + [r.train["mse"] for r in reports if r.val])
    return state, numbers, said, shortcut


@pytest.mark.parametrize(
    ("make_model", "optimizer", "options"),
    [
        pytest.param(
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
            lambda p: torch.optim.SGD(p, 0.01, 0.9),
            {},
            marks=pytest.mark.slow,  # half a minute; the other has all that this one has
        ),
        (network, lambda p: torch.optim.AdamW(p, 0.01), {"clip": 0.5, "accumulate": 2, "ema": 0.9}),
    ],
)
def test_a_compiled_run_equals_an_uncompiled_one(make_model, optimizer, options):
    state, numbers, _, _ = run(make_model, optimizer, compiled=False, **options)
    same_state, same_numbers, said, shortcut = run(make_model, optimizer, compiled=True, **options)
    assert torch.allclose(state, same_state, rtol=1e-6, atol=1e-9)
    assert torch.allclose(numbers, same_numbers, rtol=1e-6, atol=1e-9)
    assert said == []
    assert len(shortcut.seconds) == TIMED + 1
    assert all(value > 0 for value in shortcut.gain().values())
    assert shortcut.gain().keys() == {"compile_s", "update_s", "before_s"}


def test_a_model_that_cannot_be_compiled_trains_uncompiled():
    def model():
        return nn.Sequential(nn.Flatten(), Restless(64, 1))

    def optimizer(parameters):
        return torch.optim.SGD(parameters, 0.01)

    state, numbers, _, _ = run(model, optimizer, compiled=False)
    same_state, same_numbers, said, shortcut = run(model, optimizer, compiled=True)
    assert torch.equal(state, same_state)
    assert torch.equal(numbers, same_numbers)
    (line,) = said
    assert line.startswith("warning: compile=true failed; training without it: ")
    assert shortcut.gain() == {}


def test_a_second_run_in_the_process_gets_its_own_graph():
    def wide():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Tanh())

    def narrow():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid())

    def optimizer(parameters):
        return torch.optim.SGD(parameters, 0.1)

    run(wide, optimizer, compiled=True)
    state, numbers, _, _ = run(narrow, optimizer, compiled=False)
    same_state, same_numbers, _, _ = run(narrow, optimizer, compiled=True)
    assert torch.allclose(state, same_state, rtol=1e-6, atol=1e-9)
    assert math.isclose(float(numbers[-1]), float(same_numbers[-1]), rel_tol=1e-6)
