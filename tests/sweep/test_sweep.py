"""A sweep ends with the same table whatever happens to its jobs, to the process that runs them, or to the machine."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainer.runs.leaderboard import leaderboard
from trainer.runs.ledger import Ledger
from trainer.runs.lock import is_running, lock

QUICK = ["data=iris", "epochs=1", "plots=off", "tensorboard=off"]
SPOKEN = {  # what the model does -> what is said of it
    "leaves": "signal 11",
    "server": "the process that starts jobs, was killed",
    "kill": "signal 9",
    "vanish": "exited with code 0",
    "exit": "SystemExit(4)",
    "interrupt": "KeyboardInterrupt()",
    "memory": "data.batch_size=16",
    "raises": "boo",
    "diverges": "the loss is nan",
}
HOW = ["ok", *SPOKEN]
BAD = f"""
import math, os, signal, subprocess, sys
from pathlib import Path
import torch
from torch import nn

class Bad(nn.Sequential):
    def __init__(self, in_shape, out_features, how=0):  # a number: the preflight would try each word
        super().__init__(nn.Flatten(), nn.Linear(math.prod(in_shape), out_features))
        self.how, self.calls = {HOW}[how], 0
        with Path("seen").open("a") as seen:
            print(os.environ.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads(), file=seen)

    def forward(self, x):
        self.calls += self.training
        if self.calls > 2:
            if self.how == "leaves":
                Path("left").write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "server":
                os.kill(os.getppid(), 9)
            if self.how == "kill":
                os.kill(os.getpid(), 9)
            if self.how == "vanish":
                os._exit(0)
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
def bad(tmp_path):
    """A folder with a model that can be told to fail."""
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bad.yaml").write_text("_target_: bad.Bad\nhow: 0\n")
    return tmp_path


@pytest.fixture
def sweep(bad, dltrain):
    """Run `dltrain -m` there. The processes of all such sweeps are forked from one, so that one begins in a moment."""

    def run(*arguments):
        return dltrain("--config-dir", "conf", "-m", *arguments)

    run.folder = lambda: sorted(bad.glob("outputs/sweeps/*/*"))[-1]
    return run


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def states(folder):
    return {n: event["event"] for n, event in Ledger(folder).jobs().items()}


def number_of(folder, event):
    return [found["event"] for found in Ledger(folder).events()].count(event)


def table(folder):
    """The leaderboard without its clock."""
    with (folder / "leaderboard.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_no_failure_ends_the_sweep(sweep, tmp_path):
    done = sweep("model=bad", f"model.how=range({len(HOW)})", *QUICK)
    assert done.code == 8
    assert f"{len(SPOKEN)} of the jobs" in done.err
    folder = sweep.folder()
    assert list(states(folder).values()) == ["finished", *["failed"] * len(SPOKEN)]
    jobs = Ledger(folder).jobs()
    assert not [(how, jobs[n]["error"]) for n, how in enumerate(HOW[1:], 1) if SPOKEN[how] not in jobs[n]["error"]]
    number = HOW.index("raises")
    assert "RuntimeError: boo" in (folder / str(number) / "train.log").read_text()
    assert f"model.how={number}" in done.out
    assert f"{number}/train.log" in "".join(done.out.split())
    assert [row["model.how"] for row in table(folder)] == ["0"]
    left = int((tmp_path / "left").read_text())  # what a job has started ends with it
    until(lambda: not is_alive(left), 5)


def test_jobs_at_a_time_end_as_one_after_the_other(sweep, tmp_path, monkeypatch):
    def weights(folder):
        return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.safetensors")}

    monkeypatch.setattr("trainer.sweeps.workers.warm_up", lambda: 2)  # GPUs, though nothing computes on them
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    jobs = ["model=bad", f"model.how=0,{HOW.index('raises')},{HOW.index('kill')}", "seed=1,2", *QUICK]
    assert sweep(*jobs, "hydra.sweep.dir=one").code == 8
    assert {line.split()[0] for line in (tmp_path / "seen").read_text().splitlines()} == {"3,5,7"}
    (tmp_path / "seen").unlink()
    done = sweep(*jobs, "hydra.sweep.dir=two", "sweep.jobs=2")
    assert "sweep.jobs=2: 2 jobs at a time, " in done.out
    assert "each, on GPU 3, 5" in done.out
    one, two = tmp_path / "one", tmp_path / "two"
    assert states(one) == states(two)
    assert table(one) == table(two)
    assert weights(one) == weights(two)
    assert len(weights(two)) >= 2
    gpus, threads = zip(*(line.split() for line in (tmp_path / "seen").read_text().splitlines()), strict=True)
    assert {*gpus} == {"3", "5"}
    assert {*threads} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


def test_a_sweep_may_end_with_its_first_failure_and_go_on_behind_it(sweep):
    raises, kill = HOW.index("raises"), HOW.index("kill")
    first = sweep("model=bad", f"model.how=0,{raises},0,{kill}", "sweep.fail_fast=true", *QUICK)
    folder = sweep.folder()
    assert (first.code, states(folder)) == (8, {0: "finished", 1: "failed"})
    assert "2 of 4 jobs to do" in first.out
    # To go on is to have seen the failure: it stops nothing any more, and is tried again when that is asked for.
    assert sweep("resume=last").code == 8
    assert states(folder) == {0: "finished", 1: "failed", 2: "finished", 3: "failed"}
    assert number_of(folder, "started") == 4
    (folder / "1" / "notes.txt").write_text("a user's own")
    assert sweep("resume=last", "sweep.retry=true", "sweep.fail_fast=false").code == 8
    assert number_of(folder, "started") == 6
    assert (folder / "1" / "train.log").read_text().count("RuntimeError: boo") >= 2
    assert (folder / "1" / "notes.txt").exists()


def test_seeds_are_one_row_with_mean_and_deviation(sweep):
    assert sweep("model=logistic", "optim.lr=1e-9,0.1", "seed=1,2,3", "baselines=auto", *QUICK).code == 0
    rows = table(sweep.folder())
    assert [float(row["optim.lr"]) for row in rows] == [0.1, 1e-9]
    assert [row["seeds"] for row in rows] == ["3", "3"]
    folder = sweep.folder()
    best = [json.loads((folder / n / "summary.json").read_text())["best"]["accuracy"] for n in rows[0]["jobs"].split()]
    mean = sum(best) / 3
    assert float(rows[0]["val_mean"]) == pytest.approx(mean)
    assert float(rows[0]["val_std"]) == pytest.approx((sum((b - mean) ** 2 for b in best) / 2) ** 0.5)
    assert leaderboard(folder).keys == ["optim.lr"]
    baselines = [json.loads((folder / str(job) / "summary.json").read_text())["baselines"] for job in range(6)]
    assert baselines[:3] == baselines[3:]  # a learning rate makes no difference to them
    assert len([*(folder / ".baselines").iterdir()]) == 3
    assert [*baselines[0]] == ["majority class", "logistic regression", "gradient boosting"]


@pytest.mark.parametrize(
    ("swept", "code", "said"),
    [
        (["data=iris", "model=linear", "loss=auto,huber"], 2, "loss=huber"),
        (["data=iris", "model=linear", "monitor=accuracy,f2"], 2, "monitor=f2"),
        (["data=iris", "model=linear", "metrics=[accuracy],[mae]"], 2, "metrics=[mae]"),
        (["model=linear,gru", "data=diabetes"], 2, "model=gru"),
        (["model=mlp", "model.hidden=[8],8"], 2, "model.hidden=8"),
        (["model=mlp", "optim=adam,grid_search"], 2, "optim=grid_search"),
        (["model=linear", "seed=range(3,3)"], 2, "no value"),
        (["model=mlp", "data=digits,diabetes", "sweep.prune=median"], 2, "these cannot be compared"),
        (["model=linear", "seed=1,2", "hydra.sweep.subdir=x"], 2, "hydra.sweep.dir"),
        (["model=linear", "data=csv", "data.path=a.csv,b.csv", "data.target=y"], 3, "a.csv"),
    ],
)
def test_what_cannot_run_stops_the_sweep_before_it_begins(sweep, tmp_path, swept, code, said):
    done = sweep(*swept, *QUICK[1:])
    assert done.code == code, done.err
    assert said in done.err.splitlines()[-1]
    assert not list(tmp_path.glob("outputs/sweeps/*/*"))


def test_a_sweep_resumes_as_it_was_started(sweep, tmp_path, monkeypatch):
    given = ["model=bad", "log_every=5,6", "seed=1,2", *QUICK, "hydra.sweep.dir=a sweep"]
    assert sweep(*given).code == 0
    folder, conf = tmp_path / "a sweep", tmp_path / "conf" / "model" / "bad.yaml"
    before = [event["overrides"] for event in Ledger(folder).jobs().values()]
    (folder / "sweep.jsonl").write_text("".join((folder / "sweep.jsonl").read_text().splitlines(True)[:-1]))
    # The order is that of the jobs, however it is said now; a path may need quotes.
    assert sweep("resume='a sweep'", *reversed(given[1:5]), "++model=bad", "device=cpu").code == 0
    assert number_of(folder, "started") == 5
    assert [event["overrides"][: len(before[0])] for event in Ledger(folder).jobs().values()] == before
    assert leaderboard(folder).keys == ["log_every"]
    assert "all 4 jobs have ended" in sweep("resume=a sweep").out
    for other in ("seed=1,2,3", "seed=2,1", "log_every=7,8", "log_every=7", "epochs=2", "optim.lr=1"):
        done = sweep("resume=a sweep", other)
        assert (done.code, f"was started without {other}" in done.err) == (4, True)
    conf.write_text("_target_: bad.Bad\nhow: 1\n")
    done = sweep("resume=a sweep", "sweep.retry=true")
    assert (done.code, "means something else now: model.how: 0 -> 1" in done.err) == (4, True)
    # From elsewhere, what is to be found there is looked for before a job can fail of it.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "--config-dir conf: no such folder" in sweep(f"resume={folder}").err
    conf.write_text("_target_: bad.Bad\nhow: 0\n")
    done = sweep("--config-dir", "../conf", "resume=../a sweep")
    assert (done.code, "or a module in" in done.err) == (2, True)
    assert number_of(folder, "started") == 5
    assert set(states(folder).values()) == {"finished"}
    assert not list(folder.glob(".preflight*"))


@pytest.mark.parametrize(
    "swept", [["model=mlp", "epochs=5,10", *QUICK[2:]], ["model=logistic", "epochs=3", "data=iris"]]
)
def test_what_a_sweep_may_take_is_told_within_a_factor_of_three(sweep, swept):
    assert sweep(*swept).code == 0
    ledger = Ledger(sweep.folder())
    took = sum(event["seconds"] for event in ledger.jobs().values())
    assert abs(math.log(ledger.outlook().seconds / took)) < math.log(3)


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_ctrl_c_saves_and_says_what_is_left(sweep, tmp_path, num_jobs):
    def interrupt():
        until(lambda: len(list(tmp_path.glob("outputs/sweeps/*/*/[0-9]/checkpoints/last"))) == num_jobs, 30)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    done = sweep("model=mlp", "seed=1,2,3", *QUICK[2:], "epochs=2000", f"sweep.jobs={num_jobs}")
    assert done.code == 130
    assert "stopped with 3 of 3 jobs to do" in done.out
    assert states(sweep.folder()) == dict.fromkeys(range(num_jobs), "interrupted")
    for number in range(num_jobs):
        assert "interrupted in epoch" in (sweep.folder() / str(number) / "summary.json").read_text()


def test_a_killed_sweep_ends_as_the_unbroken_one(sweep, dltrain, tmp_path):
    jobs = ["model=mlp", "seed=1,2,3", *QUICK[2:], "data=iris", "epochs=15", "checkpoint.min_seconds=0"]
    assert sweep(*jobs).code == 0
    unbroken, broken = sweep.folder(), tmp_path / "broken"
    command = [sys.executable, "-m", "trainer.cli", "--config-dir", "conf", "-m", *jobs, "hydra.sweep.dir=broken"]
    command += ["sweep.jobs=2", "baselines=off"]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        until(lambda: list(broken.glob("1/checkpoints/last")))
        process.kill()
    until(lambda: not is_running(broken / "0") and not is_running(broken / "1"), 5)
    # As if it had been killed in its preflight too.
    lines = Ledger(broken).path.read_text().splitlines(keepends=True)
    Ledger(broken).path.write_text("".join(line for line in lines if '"preflight"' not in line))
    (broken / ".preflight-0").mkdir()
    with lock(broken):
        assert sweep("resume=broken").code == 7
    started = number_of(broken, "started")
    left = 3 - [*states(broken).values()].count("finished")
    done = sweep("resume=broken", "sweep.jobs=1")
    assert done.code == 0, done.err
    assert table(broken) == table(unbroken)
    assert number_of(broken, "started") == started + left
    assert {path.name for path in broken.iterdir()} == {path.name for path in unbroken.iterdir()}


def test_a_ledger_survives_whatever_was_written_to_it(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append("started", job=0, overrides=["a=1"], folder="0")
    with ledger.path.open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"event": "finished", "job": 0, "obj')
    assert ledger.jobs()[0]["event"] == "started"
    odd = "\u2028 \x85 \udc80 ü"  # ends of lines to some, no text to others
    ledger.append("finished", job=0, objective=1.0, metric="mse", error=odd)
    assert ledger.jobs()[0] == {**ledger.jobs()[0], "event": "finished", "objective": 1.0, "overrides": ["a=1"]}
    assert ledger.jobs()[0]["error"] == odd
