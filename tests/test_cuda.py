"""Tests that need a GPU; skipped without one."""

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


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
    from contextlib import nullcontext

    from torch import nn

    from trainer.data.augment import Augment
    from trainer.data.tensors import Examples, TensorLoader
    from trainer.engine.loop import fit
    from trainer.engine.meter import Meter
    from trainer.engine.update import Update
    from trainer.metrics import F1, Accuracy
    from trainer.schedules import cosine

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    update = Update(model, optimizer, cosine(optimizer, 1000), clip=1.0, ema=0.9)
    examples = Examples(torch.randn(6000, 1, 8, 8), torch.randint(0, 10, (6000,)))
    augment = Augment(seed=0, num_classes=10, shift=1, rotation=5, cutout=2) if augmented else None
    train = TensorLoader(examples, 10, prepare=lambda b: b, device="cuda", shuffle=True, augment=augment)
    meters = tuple(Meter({"accuracy": Accuracy(), "f1": F1()}) for _ in range(2))
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


def test_fp32_is_not_rounded_to_tf32(dltrain):
    dltrain("dry_run=true", "precision=fp32", "device=cuda")
    x = torch.randn(512, 512, device="cuda")
    exact = x.double() @ x.double()
    assert ((x @ x) - exact).abs().max() < 1e-3
