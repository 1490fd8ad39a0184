"""What only a GPU can show; skipped where there is none."""

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["simple_cnn", "resnet"])
def test_every_precision_learns(dltrain, model, precision):
    summary = dltrain(f"model={model}", f"precision={precision}", "channels_last=true", "device=cuda").summary
    assert summary["test"]["accuracy"] >= 0.95


def test_fp16_scales_the_loss_and_counts_what_it_skips(dltrain):
    outcome = dltrain("precision=fp16", "epochs=2")
    steps = outcome.summary["steps"] + outcome.summary["skipped_steps"]
    assert steps == 80


def test_a_run_on_the_gpu_equals_one_on_the_cpu_nearly(dltrain):
    options = ("data=diabetes", "model=linear", "optim=lbfgs")
    gpu = dltrain(*options, "device=cuda").summary["learned"]["w"]
    cpu = dltrain(*options, "device=cpu").summary["learned"]["w"]
    assert gpu == pytest.approx(cpu, rel=1e-3)


def test_two_deterministic_runs_give_the_same_numbers(dltrain):
    first, second = (dltrain("deterministic=true", "epochs=2").summary["test"] for _ in range(2))
    assert first == second


def test_a_gpu_that_is_not_there_is_an_error(dltrain):
    outcome = dltrain(f"device=cuda:{torch.cuda.device_count()}")
    assert outcome.code == 2
    assert "is not here" in outcome.err


def test_fp32_is_not_rounded_to_tf32(dltrain):
    dltrain("dry_run=true", "precision=fp32", "device=cuda")
    x = torch.randn(512, 512, device="cuda")
    exact = x.double() @ x.double()
    assert ((x @ x) - exact).abs().max() < 1e-3
