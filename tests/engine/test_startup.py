"""What a run does not import: it would take longer than a small run itself."""

import gc
import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn

from trainer.optim._plain import create

SLOW = ("torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "matplotlib.pyplot", "tensorflow")
NOTHING_SLOW = f"""
import sys
found = {{name.split(".")[0] for name in sys.modules}} | sys.modules.keys()
assert not found & {set(SLOW)}, found & {set(SLOW)}
"""

RUNS = (
    """
import gc, sys
from trainer import cli

def dltrain(*arguments):
    sys.argv[1:] = arguments
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, end.code

dltrain("epochs=1", "limit_batches=2", "hydra.run.dir=run")
assert gc.isenabled() and gc.get_freeze_count() > 100_000
dltrain("resume=run", "epochs=2")
dltrain("data=synthetic_linear", "model=linear", "accumulate=2", "clip=1", "ema=0.9", "epochs=1", "plots=off")
"""
    + NOTHING_SLOW
)

UPDATES = (
    """
import torch
from trainer.build import parts, update as build_update
from trainer.config.schema import groups
from trainer.optim.search import Search
from trainer.config.check import checked_all

options = [f"{slot}={option}" for slot in ("optim", "scheduler") for option in groups()[slot]]
for cfg, _ in checked_all([[option, "ema=0.9", "clip=1"] for option in options]):
    parts.check(cfg)
    model = torch.nn.Linear(1, 1)
    update = build_update.update(cfg, model, 10, torch.amp.GradScaler("cpu", enabled=False))
    if isinstance(update.optimizer, Search):
        update.optimizer.step(lambda candidates: candidates.square().sum(1))
    else:
        update.zero_grad()
        update.backward(model(torch.ones(3, 1)).square().mean())
        update.step(lambda: model(torch.ones(3, 1)).square().mean())
    update.load_state_dict(update.state_dict())
"""
    + NOTHING_SLOW
)


@pytest.mark.parametrize("code", [RUNS, UPDATES], ids=["runs", "updates"])
def test_torchs_compiler_is_not_imported_unless_something_is_compiled(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def trained(make, schedule=None):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().mean().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return model.weight.detach(), optimizer


def test_a_plain_optimizer_does_what_torchs_own_does():
    weights, own = trained(lambda parameters: torch.optim.AdamW(parameters, lr=0.1))
    same, plain = trained(lambda parameters: create(torch.optim.AdamW, params=parameters, lr=0.1))
    assert type(plain) is torch.optim.AdamW
    assert torch.equal(weights, same)
    assert str(own.state_dict()) == str(plain.state_dict())


def test_a_scheduler_of_torch_takes_a_plain_optimizer():
    def schedule(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    own = trained(lambda parameters: torch.optim.SGD(parameters, lr=0.1), schedule)
    plain = trained(lambda parameters: create(torch.optim.SGD, params=parameters, lr=0.1), schedule)
    assert torch.equal(own[0], plain[0])
    assert plain[1].param_groups[0]["lr"] == pytest.approx(0.0125)


def test_the_methods_of_a_users_optimizer_are_left_alone():
    class Own(torch.optim.SGD):
        def state_dict(self):
            return {"mine": True, **super().state_dict()}

        def add_param_group(self, param_group):
            self.added = True
            super().add_param_group(param_group)

    made = create(Own, params=[nn.Parameter(torch.ones(2))], lr=0.1)
    seen = []
    made.register_step_post_hook(lambda *_: seen.append(1))
    made.step()
    assert made.added
    assert made.state_dict()["mine"]
    assert seen


def test_a_plain_optimizer_is_freed_without_garbage_collection():
    made = create(torch.optim.Adam, params=[nn.Parameter(torch.ones(2))], lr=0.1)
    alive = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert alive() is None
    finally:
        gc.enable()
