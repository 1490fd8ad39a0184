"""A sweep ends with the same table whatever happens to its jobs, to the process that runs them, or to the machine."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from trainer.sweep.leaderboard import leaderboard
from trainer.sweep.ledger import Ledger

BAD = """
import os, sys
from torch import nn

class Bad(nn.Sequential):
    def __init__(self, in_shape, out_features, how="ok"):
        super().__init__(nn.Flatten(), nn.Linear(64, out_features))
        self.how, self.calls = how, 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 20:
            if self.how == "kill":
                os.kill(os.getpid(), 9)
            if self.how == "exit":
                sys.exit(4)
            if self.how == "interrupt":
                raise KeyboardInterrupt
            if self.how == "memory":
                raise MemoryError
            if self.how == "raises":
                raise RuntimeError("boo")
            if self.how == "diverges":
                return super().forward(x) * float("nan")
        return super().forward(x)
"""


@pytest.fixture
def sweep(tmp_path):
    """Run `dltrain -m` in a process of its own, in a folder with a model that can be told to fail."""
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bad.yaml").write_text("_target_: bad.Bad\nhow: ok\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*arguments):
        command = [sys.executable, "-m", "trainer.cli", "--config-dir", "conf", "-m", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)

    def run(*arguments):
        process = start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    run.start = start
    run.folder = lambda: sorted(tmp_path.glob("outputs/sweeps/*/*"))[-1]
    return run


def states(folder):
    return {n: event["event"] for n, event in Ledger(folder).jobs().items()}


def table(folder):
    """The leaderboard without its clock."""
    with (folder / "leaderboard.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_no_failure_ends_the_sweep(sweep):
    how = ["ok", "kill", "exit", "interrupt", "memory", "raises", "diverges"]
    code, out, err = sweep("model=bad", f"model.how={','.join(how)}", "epochs=2")
    assert code == 8
    assert "6 of the jobs" in err
    folder = sweep.folder()
    assert list(states(folder).values()) == ["finished", *["failed"] * 6]
    errors = {n: event.get("error", "") for n, event in Ledger(folder).jobs().items()}
    expected = ["", "signal 9", "SystemExit(4)", "KeyboardInterrupt()", "data.batch_size=16", "boo", "the loss is nan"]
    assert all(part in errors[n] for n, part in enumerate(expected))
    assert "RuntimeError: boo" in (folder / "5" / "train.log").read_text()
    assert "model.how=kill" in out and "5/train.log" in "".join(out.split())  # noqa: PT018
    assert [row["model.how"] for row in table(folder)] == ["ok"]
    # They are tried again when that is asked for, and not otherwise.
    assert sweep("resume=last")[0] == 8
    assert [event["event"] for event in Ledger(folder).events()].count("started") == 7
    assert sweep("resume=last", "sweep.retry=true")[0] == 8
    assert [event["event"] for event in Ledger(folder).events()].count("started") == 13


def test_a_sweep_may_end_with_its_first_failure(sweep):
    code, _, _ = sweep("model=bad", "model.how=ok,raises,ok", "epochs=2", "sweep.fail_fast=true")
    assert code == 8
    assert states(sweep.folder()) == {0: "finished", 1: "failed"}


def test_seeds_are_one_row_with_mean_and_deviation(sweep):
    assert sweep("model=logistic", "optim.lr=1e-9,0.1", "seed=1,2,3", "epochs=2")[0] == 0
    rows = table(sweep.folder())
    assert [row["optim.lr"] for row in rows] == ["0.1", "1e-09"] or [row["optim.lr"] for row in rows] == ["0.1", "1e-9"]
    assert [row["seeds"] for row in rows] == ["3", "3"]
    folder = sweep.folder()
    best = [json.loads((folder / n / "summary.json").read_text())["best"]["accuracy"] for n in rows[0]["jobs"].split()]
    mean = sum(best) / 3
    assert float(rows[0]["val_mean"]) == pytest.approx(mean)
    assert float(rows[0]["val_std"]) == pytest.approx((sum((b - mean) ** 2 for b in best) / 2) ** 0.5)
    assert leaderboard(folder).keys == ["optim.lr"]


def test_what_cannot_run_stops_the_sweep_before_it_begins(sweep, tmp_path):
    code, _, err = sweep("data=digits", "model=mlp,linear", "loss=auto,huber", "epochs=2")
    assert code == 2
    assert "loss=huber" in err
    assert not list(tmp_path.glob("outputs/sweeps/*/*"))


def test_a_sweep_whose_values_mean_something_else_now_is_not_gone_on_with(sweep, tmp_path):
    assert sweep("model=bad", "seed=1,2", "epochs=1")[0] == 0
    assert sweep("resume=last", "seed=1,2", "log_every=7")[0] == 0
    (tmp_path / "conf" / "model" / "bad.yaml").write_text("_target_: bad.Bad\nhow: raises\n")
    for more in ([], ["sweep.retry=true"]):
        code, _, err = sweep("resume=last", *more)
        assert code == 4
        assert "has changed since then" in err


def test_ctrl_c_saves_and_says_what_is_left(sweep):
    process = sweep.start("model=mlp", "seed=1,2", "epochs=2000")
    deadline = time.monotonic() + 120
    while not any(sweep_checkpoints(sweep)) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped with 2 of 2 jobs to do" in out
    assert states(sweep.folder()) == {0: "interrupted"}
    # A resumed sweep is the one that was begun: nothing else can be given.
    assert "is not how" in sweep("resume=last", "seed=1,2,3")[2]


def sweep_checkpoints(sweep):
    try:
        return sweep.folder().glob("0/checkpoints/last")
    except IndexError:
        return []


def test_a_sweep_killed_at_random_moments_ends_as_the_unbroken_one(sweep, tmp_path):
    jobs = ["model=bad,mlp", "seed=1,2", "epochs=30", "checkpoint.min_seconds=0"]
    assert sweep(*jobs)[0] == 0
    unbroken = sweep.folder()
    process = sweep.start(*jobs, "hydra.sweep.dir=broken")
    rng = random.Random(0)
    for _ in range(3):
        deadline = time.monotonic() + 120
        while not list((tmp_path / "broken").glob("*/metrics.csv")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        process.kill()
        process.communicate()
        process = sweep.start("resume=broken")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert table(tmp_path / "broken") == table(unbroken)


def test_a_ledger_survives_a_line_that_was_cut_off(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append("started", job=0, overrides=["a=1"], folder="0")
    with ledger.path.open("a") as file:
        file.write('{"event": "finished", "job": 0, "obj')
    assert ledger.jobs()[0]["event"] == "started"
    ledger.append("finished", job=0, objective=1.0)
    assert ledger.jobs()[0] == {**ledger.jobs()[0], "event": "finished", "objective": 1.0, "overrides": ["a=1"]}
