import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from trainer.schedules import constant, cosine, one_cycle

STEPS = 40


def optimizer(lr=0.5):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(optim, scheduler, num_steps=STEPS):
    found = []
    for _ in range(num_steps):
        found.append(optim.param_groups[0]["lr"])
        optim.step()
        scheduler.step()
    return found


def test_cosine_equals_torchs():
    ours, theirs = optimizer(), optimizer()
    assert rates(ours, cosine(ours, STEPS)) == pytest.approx(rates(theirs, CosineAnnealingLR(theirs, STEPS)), rel=1e-6)


def test_one_cycle_equals_torchs():
    ours, theirs = optimizer(), optimizer()
    cycle = OneCycleLR(theirs, max_lr=0.5, total_steps=STEPS, cycle_momentum=False)
    assert rates(ours, one_cycle(ours, STEPS)) == pytest.approx(rates(theirs, cycle), rel=1e-6)


@pytest.mark.parametrize("warmup", [8, 0.2])
def test_warmup_is_a_straight_line_to_the_full_rate(warmup):
    optim = optimizer(0.9)
    found = rates(optim, constant(optim, STEPS, warmup=warmup))
    assert found[:9] == pytest.approx([0.1 * k for k in range(1, 10)])
    assert found[8:] == pytest.approx([0.9] * (STEPS - 8))


def test_a_schedule_is_a_function_of_the_step():
    first, second = optimizer(), optimizer()
    done = cosine(first, STEPS, warmup=5)
    whole = rates(first, done)
    fresh = cosine(second, STEPS, warmup=5)
    half = cosine(optimizer(), STEPS, warmup=5)
    for _ in range(17):
        half.step()
    fresh.load_state_dict(half.state_dict())
    assert rates(second, fresh, STEPS - 17) == whole[17:]


def test_the_rate_stays_at_its_end_when_the_run_goes_on():
    optim = optimizer()
    assert rates(optim, cosine(optim, STEPS), STEPS + 5)[STEPS:] == [0] * 5


@pytest.mark.parametrize("schedule", [constant, cosine, one_cycle])
def test_a_run_of_one_step_has_a_rate(schedule):
    optim = optimizer()
    assert 0 < rates(optim, schedule(optim, 1), 1)[0] <= 0.5


def test_negative_warmup_is_refused():
    with pytest.raises(ValueError, match="warmup"):
        constant(optimizer(), STEPS, warmup=-1)
