"""Where a run's time went, and the advice for the next."""

import time

import pytest
import torch
from omegaconf import OmegaConf

from trainer.engine.clock import IN_UPDATE, PARTS, Clock
from trainer.view.advice import advice
from trainer.view.console import shares

CPU = torch.device("cpu")


def test_a_lap_is_the_time_since_the_last():
    clock = Clock(CPU)
    time.sleep(0.05)
    clock.lap("data")
    time.sleep(0.02)
    clock.lap("forward")
    clock.lap("update")
    assert list(clock.seconds) == list(PARTS)
    assert clock.seconds["data"] == pytest.approx(0.05, abs=0.02)
    assert clock.seconds["forward"] == pytest.approx(0.02, abs=0.015)
    assert clock.seconds["update"] < 0.01


def test_unmeasured_updates_are_divided_like_the_measured():
    clock = Clock(CPU, every=3)
    waits = []
    clock.wait = lambda: waits.append(None)  # as on a GPU
    for _ in range(6):
        for part, seconds in zip(IN_UPDATE, (0.0, 0.004, 0.008, 0.0), strict=True):
            time.sleep(seconds)
            clock.lap(part)
    assert len(waits) == 2 * (1 + len(IN_UPDATE))  # before an update that is measured, too
    seconds = clock.seconds
    assert sum(seconds.values()) == pytest.approx(sum(clock.booked.values()))
    assert sum(seconds.values()) >= 6 * 0.012
    assert 1.3 < seconds["backward"] / seconds["forward"] < 2.5


def test_a_gpus_backlog_is_not_booked_on_the_measured_update():
    clock, behind = Clock(CPU, every=3), [0.0]

    def wait():
        time.sleep(behind[0])
        behind[0] = 0.0

    clock.wait = wait
    for _ in range(6):
        for part in IN_UPDATE:
            behind[0] += 0.004
            clock.lap(part)
    assert clock.seconds["data"] == pytest.approx(clock.seconds["forward"], rel=0.5)


def test_a_run_with_few_updates_has_shares_too():
    clock = Clock(CPU, every=50)
    clock.wait = lambda: None
    for _ in range(12):
        for part in IN_UPDATE:
            time.sleep(0.001)
            clock.lap(part)
    assert all(clock.seconds[part] > 0 for part in IN_UPDATE)


def test_a_run_reports_where_its_time_went(dltrain):
    outcome = dltrain("data=iris", "model=mlp", "epochs=60", "data.batch_size=8")
    seconds = outcome.summary["seconds"]
    assert list(seconds) == list(PARTS)
    assert all(value >= 0 for value in seconds.values())
    assert sum(seconds.values()) == pytest.approx(outcome.summary["train_s"], rel=0.1)
    line = next(line for line in outcome.out.splitlines() if line.startswith("time "))
    assert line.split(maxsplit=1)[1] == shares(seconds)


def spent(**parts):
    return dict.fromkeys(PARTS, 0.0) | {"forward": 10.0} | parts


@pytest.mark.parametrize(
    ("seconds", "updates", "data", "expected"),
    [
        (spent(data=20.0), 10, {"workers": 1}, "waits for images 67 %"),
        (spent(checkpoints=10.0), 10, {}, "checkpoint.min_seconds"),
        (spent(logging=10.0), 1000, {}, "log_every=500"),
        (spent(logging=10.0), 90, {}, ""),  # two epochs: the points in TensorBoard are not the cause
        (spent(evaluation=30.0), 10, {}, "data.val_fraction"),
        (spent(), 100_000, {}, "an update takes 100 us, most of it overhead: data.batch_size=256 would"),
        (spent(forward=100.0), 10**6, {}, "us, most of it overhead: data.batch_size=256 or compile=true would"),
        (spent(forward=100.0), 10**6, {"batch_size": "full"}, "overhead: compile=true would"),
        (spent(), 100_000, {"batch_size": "full"}, ""),
        (spent(), 10, {}, ""),
        (spent(forward=1.0, data=2.0), 10, {"workers": 1}, ""),  # a run of three seconds needs no advice
    ],
)
def test_advice_is_about_what_took_long(seconds, updates, data, expected):
    known = {"data": {"batch_size": 32, **data}, "log_every": 50, "compile": False}
    found = advice(OmegaConf.create(known), seconds, updates, 2)
    assert expected in found
    assert bool(expected) == bool(found)
