"""Hopeless jobs are stopped early, and those that go on end as if nothing had been stopped."""

import json
import math
from types import SimpleNamespace

import pytest

from trainer.runs.folder import MetricsFile
from trainer.runs.ledger import Ledger
from trainer.sweeps.job import Plan
from trainer.sweeps.plan import Grid
from trainer.sweeps.pruning import STARTUP, AtRung, BelowMedian, prune, rungs, share


@pytest.mark.parametrize(
    ("epochs", "configurations", "factor", "expected"),
    [(8, 8, 2, [1, 2, 4]), (10, 24, 2, [1, 2, 5]), (27, 9, 3, [3, 9]), (10, 2, 2, [5]), (1, 8, 2, []), (8, 1, 2, [])],
)
def test_rungs_are_as_in_successive_halving(epochs, configurations, factor, expected):
    assert rungs(epochs, configurations, factor) == expected


def test_each_round_of_halving_costs_the_same():
    # 8 configurations to epoch 1, 4 from there to 2, 2 to 4, 1 to 8.
    assert share(8, 8, 2) == pytest.approx((8 * 1 + 4 * 1 + 2 * 2 + 1 * 4) / 64)
    assert share(8, 1, 2) == 1


def ledger_of(folder, jobs, metric="accuracy", higher_is_better=True):
    """A sweep whose jobs wait at epoch 2: (configuration, seed, objective, or None of one that failed)."""
    ledger = Ledger(folder)
    ledger.append("preflight", seconds=1, metric=metric, higher_is_better=higher_is_better)
    for number, (configuration, seed, objective) in enumerate(jobs):
        (folder / str(number)).mkdir()
        about = {"job": number, "overrides": [f"optim.lr={configuration}", f"seed={seed}"], "folder": str(number)}
        ledger.append("started", **about)
        if objective is None:
            ledger.append("failed", job=number, error="boo")
        else:
            (folder / str(number) / "summary.json").write_text('{"status": "interrupted"}')
            ledger.append("paused", job=number, objective=objective, metric=metric, epoch=2)
    return ledger


def states(ledger):
    return [event["event"] for event in ledger.jobs().values()]


def test_the_better_half_goes_on_by_the_mean_of_the_seeds(tmp_path):
    # The best single job is of the configuration that is the worst on the whole.
    jobs = [(1, 0, 0.99), (1, 1, 0.1), (2, 0, 0.8), (2, 1, 0.8), (3, 0, 0.7), (3, 1, 0.9), (4, 0, None), (4, 1, 0.5)]
    ledger = ledger_of(tmp_path, jobs)
    prune(tmp_path, 2, 2)
    assert states(ledger) == ["pruned", "pruned", "paused", "paused", "paused", "paused", "failed", "pruned"]
    assert ledger.jobs()[0]["objective"] == 0.99
    assert json.loads((tmp_path / "0" / "summary.json").read_text())["status"] == "pruned"
    assert ledger.events()[-1] | {"time": ""} == {
        "event": "rung",
        "epoch": 2,
        "configurations": 4,
        "kept": 2,
        "time": "",
    }


def test_the_lowest_loss_goes_on_and_what_is_no_number_does_not(tmp_path):
    ledger = ledger_of(tmp_path, [(1, 0, 3.0), (2, 0, float("nan")), (3, 0, 2.0)], "mse", higher_is_better=False)
    prune(tmp_path, 2, 3)
    assert states(ledger) == ["pruned", "pruned", "paused"]


def test_a_rung_that_a_kill_broke_off_is_decided_as_it_was(tmp_path):
    jobs = [(n, 0, n / 10) for n in range(6)]
    ledger = ledger_of(tmp_path, jobs)
    ledger.append("pruned", job=0, objective=0.0, metric="accuracy", epoch=2)
    prune(tmp_path, 2, 2)
    assert states(ledger) == ["pruned"] * 3 + ["paused"] * 3
    # At the next one they are no more.
    for number in (3, 4, 5):
        ledger.append("paused", job=number, objective=1 - number / 10, metric="accuracy", epoch=4)
    prune(tmp_path, 4, 2)
    assert states(ledger) == ["pruned"] * 3 + ["paused"] * 2 + ["pruned"]


def test_configurations_that_failed_make_no_room_at_later_rungs(tmp_path):
    ledger = ledger_of(tmp_path, [(n, 0, n / 10 if n < 5 else None) for n in range(8)])
    prune(tmp_path, 2, 2)
    assert states(ledger) == ["pruned"] + ["paused"] * 4 + ["failed"] * 3
    for number in range(1, 5):
        ledger.append("paused", job=number, objective=number / 10, metric="accuracy", epoch=4)
    prune(tmp_path, 4, 2)
    assert states(ledger) == ["pruned"] * 3 + ["paused"] * 2 + ["failed"] * 3
    assert [(rung["configurations"], rung["kept"]) for rung in ledger.rungs()] == [(8, 4), (4, 2)]


def test_a_job_below_the_median_of_its_age_stops(tmp_path):
    curves = [[0.1, 0.5, 0.4], [0.2, 0.6], [0.3, 0.7], [0.4, 0.8], [0.5, 0.9], [0.9]]
    for number, curve in enumerate(curves):
        (tmp_path / str(number)).mkdir()
        rows = MetricsFile(tmp_path / str(number) / "metrics.csv")
        for epoch, value in enumerate(curve, 1):
            rows.append({"epoch": epoch, "val/accuracy": value})
    assert STARTUP == 5
    higher = BelowMedian(tmp_path, "6", "accuracy", True)
    assert [higher(1, value) for value in (0.34, 0.35, 0.36)] == [True, False, False]  # the median of six is 0.35
    assert [higher(2, value) for value in (0.69, 0.7)] == [True, False]
    assert higher(2, float("nan"))
    assert not higher(3, 0.0)  # one other has come as far: that is none to go by
    lower = BelowMedian(tmp_path, "6", "accuracy", False)
    assert [lower(2, value) for value in (0.29, 0.31)] == [False, True]  # the best so far of 0.1 ... 0.5 has it
    # It is not compared with itself, and without itself there are four.
    assert not BelowMedian(tmp_path, "0", "accuracy", True)(2, 0.0)


def test_a_metric_that_is_no_number_counts_as_the_worst(tmp_path):
    for number, curve in enumerate([[math.nan, 0.5], [0.6, 0.6], [0.7, 0.7], [math.nan, math.nan], [0.9, 0.9]]):
        (tmp_path / str(number)).mkdir()
        rows = MetricsFile(tmp_path / str(number) / "metrics.csv")
        for epoch, value in enumerate(curve, 1):
            rows.append({"epoch": epoch, "val/accuracy": value})
    below = BelowMedian(tmp_path, "5", "accuracy", True)
    assert [below(2, value) for value in (0.59, 0.6)] == [True, False]  # of nan, 0.5, 0.6, 0.7 and 0.9


@pytest.mark.parametrize(("at_rungs", "expected"), [([2], [2, 3]), ([], [0, 1, 2, 3])])
def test_the_seeds_of_a_configuration_go_together_at_rungs_alone(at_rungs, expected, tmp_path):
    ledger = ledger_of(tmp_path, [(1, 0, 0.1), (1, 1, None), (2, 0, 0.8), (2, 1, 0.9)])
    ledger.append("pruned", job=0, objective=0.1, metric="accuracy", epoch=2)
    launched, jobs = [[]], [job["overrides"] for job in ledger.jobs().values()]
    launcher = SimpleNamespace(
        submit=lambda plan, number, overrides: launched[-1].append(number), drain=lambda: launched.append([])
    )
    plan = Plan(tmp_path, [], False, True, "halving" if at_rungs else "median", 2, {})
    Grid(jobs, at_rungs, 1.0).run(launcher, plan, 1)
    assert launched[0] == expected


def test_a_rung_is_an_epoch():
    assert [AtRung(2)(epoch, 0.0) for epoch in (1, 2, 3)] == [False, True, True]


def curves(folder):
    """All that was measured, without the clock."""
    return {
        int(path.parent.name): [{k: v for k, v in row.items() if k != "seconds"} for row in MetricsFile(path).rows()]
        for path in folder.glob("*/metrics.csv")
    }


def test_a_halved_sweep_spends_its_epochs_on_the_best_and_survives_kills(dltrain, tmp_path):
    jobs = ["-m", "model=logistic", "optim.lr=1e-5,1e-2,1e-1,1", "epochs=6", "plots=off", "tensorboard=off"]
    jobs += ["limit_batches=8", "checkpoint.min_seconds=0"]
    assert dltrain(*jobs, "hydra.sweep.dir=whole").code == 0
    halved = dltrain(*jobs, "hydra.sweep.dir=halved", "sweep.prune=halving", "sweep.jobs=2")
    assert halved.code == 0
    assert "after epoch 1  2 of 4 configurations continue" in halved.out
    assert "after epoch 3  1 of 2 configurations continue" in halved.out
    found, full = Ledger(tmp_path / "halved").jobs(), curves(tmp_path / "whole")
    assert sorted((job["epoch"], job["event"]) for job in found.values()) == [
        *[(1, "pruned")] * 2,
        (3, "pruned"),
        (6, "finished"),
    ]
    # What was measured is what the whole sweep has measured, as far as it went, and the best of each rung went on.
    measured = curves(tmp_path / "halved")
    assert {number: len(rows) for number, rows in measured.items()} == {n: job["epoch"] for n, job in found.items()}
    assert all(rows == full[number][: len(rows)] for number, rows in measured.items())
    reached = {number: job["objective"] for number, job in found.items()}
    assert min(reached[n] for n in found if found[n]["epoch"] > 1) >= max(
        max(row["val/accuracy"] for row in full[n][:1]) for n in found if found[n]["epoch"] == 1
    )
    # A ledger that ends earlier than what the jobs have come to, as after a kill: the end is the same.
    lines = (tmp_path / "halved" / "sweep.jsonl").read_text().splitlines(keepends=True)
    for first in (5, len(lines) - 4):
        (tmp_path / "halved" / "sweep.jsonl").write_text("".join(lines[:first]))
        assert dltrain("-m", "resume=halved").code == 0
        again = Ledger(tmp_path / "halved").jobs()
        assert {n: (job["event"], job["objective"]) for n, job in again.items()} == {
            n: (job["event"], job["objective"]) for n, job in found.items()
        }
        assert curves(tmp_path / "halved") == measured


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["epochs=2,4"], "give epochs a single value"),
        (["seed=1,2", "epochs=4"], "1 configurations of epochs=4"),
        (["optim.lr=1,2", "epochs=1"], "epochs=1"),
    ],
)
def test_what_cannot_be_halved_is_said(dltrain, given, told):
    outcome = dltrain("-m", "model=logistic", *given, "sweep.prune=halving")
    assert outcome.code == 2
    assert told in outcome.err
