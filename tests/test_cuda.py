"""Tests that need a GPU; skipped without one."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from trainer.config.schema import CONF
from trainer.data.augment import Augment
from trainer.data.tensors import Examples, TensorLoader
from trainer.engine.clock import Clock
from trainer.engine.compiled import CompiledUpdate, Recorded
from trainer.engine.loop import fit
from trainer.engine.meter import Meter
from trainer.engine.numerics import choose_precision
from trainer.engine.update import Update
from trainer.metrics.classes import Accuracy, F1Macro
from trainer.schedules import constant, cosine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

OPTIMIZERS = sorted({file.stem for file in (CONF / "optim").glob("*.yaml") if "search" not in file.stem} - {"lbfgs"})


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["simple_cnn", "resnet"])
def test_every_precision_learns(dltrain, model, precision):
    summary = dltrain(f"model={model}", f"precision={precision}", "channels_last=true", "device=cuda").summary
    assert summary["test"]["accuracy"] >= 0.95


def test_fp16_scales_the_loss_and_counts_skipped_updates(dltrain):
    outcome = dltrain("precision=fp16", "epochs=2")
    steps = outcome.summary["steps"] + outcome.summary["skipped_steps"]
    assert steps == 80


def test_a_gpu_run_nearly_equals_a_cpu_run(dltrain):
    options = ("data=diabetes", "model=linear", "optim=lbfgs")
    gpu = dltrain(*options, "device=cuda").summary["learned"]["w"]
    cpu = dltrain(*options, "device=cpu").summary["learned"]["w"]
    assert gpu == pytest.approx(cpu, rel=1e-3)


def test_two_deterministic_runs_give_the_same_numbers(dltrain):
    first, second = (dltrain("deterministic=true", "epochs=2").summary["test"] for _ in range(2))
    assert first == second


def test_a_missing_gpu_is_an_error(dltrain):
    outcome = dltrain(f"device=cuda:{torch.cuda.device_count()}")
    assert outcome.code == 2
    assert "is not available" in outcome.err


@pytest.mark.parametrize("augmented", [False, True])
def test_nothing_waits_for_the_gpu_between_two_log_points(augmented):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    update = Update(model, optimizer, cosine(optimizer, 1000), clip=1.0, ema=0.9)
    examples = Examples(torch.randn(6000, 1, 8, 8), torch.randint(0, 10, (6000,)))
    augment = Augment(seed=0, num_classes=10, shift=1, rotation=5, cutout=2) if augmented else None
    train = TensorLoader(examples, 10, prepare=lambda b: b, device="cuda", shuffle=True, augment=augment)
    meters = tuple(Meter({"accuracy": Accuracy(), "f1_macro": F1Macro()}) for _ in range(2))
    try:
        for report in fit(model, nn.CrossEntropyLoss(), train, [], update, meters, epochs=1, autocast=nullcontext()):
            if report.step == 50:
                torch.cuda.set_sync_debug_mode("error")  # any wait raises
            if report.step == 590:  # the meter has added up twice
                break
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_compiled_run_learns_the_same_weights(dltrain):
    options = ("data=synthetic_linear", "model=linear", "optim=sgd", "epochs=3", "device=cuda")
    written, compiled = (dltrain(*options, f"compile={knob}").summary["learned"]["w"] for knob in ("false", "true"))
    assert compiled == pytest.approx(written, rel=1e-4)


class Restless(nn.Linear):
    """Looks at a value, which no graph can do."""

    def forward(self, inputs):
        outputs = super().forward(inputs)
        return outputs if float(outputs.detach().sum()) > 1e9 else 1.0 * outputs


def trained(last, *, compiled, accumulate=1):
    """Weights, statistics and losses after three epochs of 31 updates, whose last is short, and what was said."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), last(32, 10)]
    model = nn.Sequential(*layers).cuda()
    # A rate that is the same in single and in double precision: a graph reads it from a tensor.
    optimizer = torch.optim.SGD(model.parameters(), 0.125, momentum=0.5, fused=True)
    update = Update(model, optimizer, constant(optimizer, 93), clip=1.0, ema=0.9, accumulate=accumulate)
    examples = Examples(torch.randn(305, 1, 8, 8), torch.randint(0, 10, (305,)))
    train = TensorLoader(examples, 10 // accumulate, prepare=lambda b: b, device="cuda", shuffle=True)
    meters = tuple(Meter({"accuracy": Accuracy()}) for _ in range(2))
    said, loss = [], nn.CrossEntropyLoss()
    shortcut = lambda window, size: None  # noqa: E731
    if compiled:
        clock = Clock(torch.device("cuda"))
        shortcut = CompiledUpdate(model, loss, update, nullcontext(), meters[0].update, clock, said.append)
    options = {"epochs": 3, "autocast": nullcontext(), "shortcut": shortcut}
    reports = fit(model, loss, train, train, update, meters, **options)
    losses = torch.stack([report.loss.clone() for report in reports])
    state = torch.cat([t.flatten().double() for t in update.averaged_model.state_dict().values()])
    return state, losses, said, shortcut


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_recorded_update_changes_the_same_bits(accumulate):
    state, losses, _, _ = trained(nn.Linear, compiled=False, accumulate=accumulate)
    same_state, same_losses, said, shortcut = trained(nn.Linear, compiled=True, accumulate=accumulate)
    assert said == []
    assert isinstance(shortcut.graph, Recorded)
    assert torch.equal(state, same_state)
    assert torch.equal(losses, same_losses)
    assert shortcut.gain()["compile_s"] < 1


def test_a_step_that_waits_for_the_gpu_is_not_recorded():
    state, losses, _, _ = trained(Restless, compiled=False)
    same_state, same_losses, said, shortcut = trained(Restless, compiled=True)
    (line,) = said
    assert line.startswith("warning: compile=true failed; training without it: ")
    assert shortcut.gain() == {}
    assert torch.equal(state, same_state)
    assert torch.equal(losses, same_losses)


@pytest.mark.parametrize("compiled", ["false", "true"])
@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_every_optimizer_runs(dltrain, optim, compiled):
    outcome = dltrain(f"optim={optim}", "model=mlp", "epochs=2", f"compile={compiled}", "device=cuda")
    assert outcome.code == 0
    assert "training without it" not in outcome.out


@pytest.mark.parametrize("model", ["resnet", "googlenet"])
def test_sixteen_bits_can_be_compiled(dltrain, model):
    outcome = dltrain(f"model={model}", "precision=bf16", "compile=true", "epochs=5", "device=cuda")
    assert "training without it" not in outcome.out
    assert outcome.summary["test"]["accuracy"] >= 0.9


@pytest.mark.parametrize("layer", [nn.Linear(64, 64), nn.Conv1d(64, 64, 5), nn.GRU(64, 64, batch_first=True)])
def test_only_tf32_rounds_what_is_multiplied(layer):
    torch.manual_seed(0)
    x = torch.randn(64, 64, 64, device="cuda")  # (batch, channels or steps, length or features)

    @torch.no_grad()
    def outputs(precision, dtype):
        choose_precision(precision, torch.device("cuda"))
        found = layer.to("cuda", dtype)(x.to(dtype))
        return (found[0] if isinstance(found, tuple) else found).double()

    rounded, full = outputs("tf32", torch.float32), outputs("fp32", torch.float32)
    exact = outputs("fp64", torch.float64)
    assert (full - exact).norm() / exact.norm() < 1e-5  # cuDNN's own tanh and sigmoid are not exact
    assert 1e-5 < (rounded - exact).norm() / exact.norm() < 1e-2
