import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, OneCycleLR, ReduceLROnPlateau, StepLR

from trainer.schedules import Plateau, constant, cosine, exponential, linear, one_cycle, step

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


def test_the_rate_stays_at_its_end_when_a_run_is_extended():
    optim = optimizer()
    assert rates(optim, cosine(optim, STEPS), STEPS + 5)[STEPS:] == [0] * 5


@pytest.mark.parametrize("schedule", [constant, step, exponential, cosine, one_cycle, Plateau])
def test_a_run_of_one_step_has_a_positive_rate(schedule):
    optim = optimizer()
    assert 0 < rates(optim, schedule(optim, 1), 1)[0] <= 0.5


def test_negative_warmup_is_rejected():
    with pytest.raises(ValueError, match="warmup"):
        constant(optimizer(), STEPS, warmup=-1)


def test_step_equals_torchs():
    ours, theirs = optimizer(), optimizer()
    expected = rates(theirs, StepLR(theirs, 7, gamma=0.3))
    assert rates(ours, step(ours, STEPS, step_size=7, gamma=0.3)) == pytest.approx(expected)
    ours = optimizer()
    assert rates(ours, step(ours, STEPS, step_size=7 / STEPS, gamma=0.3)) == pytest.approx(expected)


def test_exponential_equals_torchs_and_ends_at_its_final_share():
    ours, theirs = optimizer(), optimizer()
    expected = rates(theirs, ExponentialLR(theirs, 0.02 ** (1 / STEPS)))
    assert rates(ours, exponential(ours, STEPS, final=0.02)) == pytest.approx(expected)
    assert ours.param_groups[0]["lr"] == pytest.approx(0.5 * 0.02)


def test_plateau_equals_torchs_if_each_step_is_an_epoch():
    ours, theirs = optimizer(), optimizer()
    mine, reference = Plateau(ours, STEPS, factor=0.5, patience=2), ReduceLROnPlateau(theirs, factor=0.5, patience=2)
    best = float("inf")
    for loss in [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2]:
        mine.step()
        mine.end_epoch(loss < best)
        best = min(best, loss)
        reference.step(loss)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
    assert mine.num_cuts == 3


def test_linear_falls_in_a_straight_line_to_zero():
    optim = optimizer(0.8)
    found = rates(optim, linear(optim, 8), 9)
    assert found == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_plateau_resumes_from_its_state():
    first, second = optimizer(), optimizer()
    seen = Plateau(first, STEPS, patience=1)
    for _ in range(3):
        seen.step()
        seen.end_epoch(False)
    fresh = Plateau(second, STEPS, patience=1)
    fresh.load_state_dict(seen.state_dict())
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"] == pytest.approx(0.5 * 0.3)
    for schedule in (seen, fresh):
        schedule.end_epoch(False)
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"] == pytest.approx(0.5 * 0.09)


@pytest.mark.parametrize("make", [constant, step, exponential, cosine, linear, Plateau])
def test_every_schedule_warms_up_in_steps_or_a_fraction(make):
    for warmup in (8, 0.2):
        optim = optimizer(0.9)
        assert rates(optim, make(optim, STEPS, warmup=warmup), 9) == pytest.approx([0.1 * k for k in range(1, 10)])


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (exponential, {"final": 0}),
        (Plateau, {"factor": 1}),
        (Plateau, {"patience": -1}),
        (step, {"step_size": -1}),
    ],
)
def test_invalid_settings_are_rejected(make, options):
    with pytest.raises(ValueError, match="expected"):
        make(optimizer(), STEPS, **options)
