"""Sweeps are killed at random moments and resumed; see bench.py.

A sweep of 24 jobs, of which one raises, one is killed and one diverges, is killed five times: its main process alone,
the whole process group, the workers or their parent, and then the main process. Resumed each time, it must end as one
that nobody touched and that ran one job after another: leaderboard.csv and every job's metrics.csv without their
clocks, the states of the jobs, and the names in its folder. Nothing that it has started may outlive it. All of that
with one job at a time and with two.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from bench import ROOT

from trainer.runs.ledger import Event, Ledger

pytestmark = pytest.mark.faults

MODEL = """
import os, signal, torch
from torch import nn

class Flaky(nn.Sequential):
    def __init__(self, in_shape, out_features, width=8):
        wide = nn.Linear(64, width)
        super().__init__(nn.Flatten(), wide, nn.ReLU(), nn.Dropout(), nn.Linear(width, out_features))
        self.fails = width == 13 and torch.initial_seed()
        self.register_buffer("calls", torch.tensor(0))  # in a checkpoint, so that it fails where it would have failed

    def forward(self, x):
        self.calls += self.training
        if self.calls > 60 and self.fails == 1:
            raise RuntimeError("boo")
        if self.calls > 60 and self.fails == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x) * (float("nan") if self.calls > 60 and self.fails == 3 else 1)
"""
WIDTHS = "8,13,16,24,32,48,64,96"
ALWAYS = ["epochs=3", "checkpoint.min_seconds=0", "plots=off", "tensorboard=off"]
KILLED = ("main", "group", "worker", "parent", "main")


def test_a_sweep_that_is_killed_again_and_again_ends_as_the_unbroken_one(bench):
    place = bench.new()
    (place / "conf" / "model").mkdir(parents=True)
    (place / "flaky.py").write_text(MODEL)
    (place / "conf" / "model" / "flaky.yaml").write_text("_target_: flaky.Flaky\nwidth: 8\n")
    widths = ",".join(WIDTHS.split(",")[: 2 if bench.quick else None])
    arguments = ["--config-dir", "conf", "-m", "model=flaky", f"model.width={widths}", "seed=1,2,3", *ALWAYS]
    unbroken = _begin(place, [*arguments, "hydra.sweep.dir=unbroken"])
    num_kills, numbers = (1, range(1)) if bench.quick else (5, range(5))
    trials = {}
    for num_jobs in (2,) if bench.quick else (1, 2):
        trial = partial(_trial, place, arguments, num_jobs=num_jobs, num_kills=num_kills)
        with ThreadPoolExecutor(2) as beside:
            trials[num_jobs] = [*beside.map(trial, numbers)]
    assert unbroken.wait() == 8
    expected = _end_of(place / "unbroken")
    for num_jobs, ended in trials.items():
        results = []
        for name, held in ended:
            end = _end_of(place / name)
            results.append(held and end == expected)
            if end != expected:
                print(
                    f"  {place / name} differs:",
                    *((key, end[key], expected[key]) for key in end if end[key] != expected[key]),
                )
        bench.row(
            f"a sweep of 24 jobs, 3 of which fail, sweep.jobs={num_jobs}, killed 5 times (main process, process group, "
            "workers, parent of the workers) and resumed: ends like an uninterrupted one, leaves no process",
            results,
        )


def _trial(place: Path, arguments: list[str], number: int, num_jobs: int, num_kills: int) -> tuple[str, bool]:
    """Kill and resume a sweep; return the name of its folder, and whether nothing has outlived it."""
    name, alone, draw = f"broken-{num_jobs}-{number}", True, random.Random(number)
    folder = place / name
    command = [*arguments, f"sweep.jobs={num_jobs}", f"hydra.sweep.dir={name}"]
    for kind in [*KILLED[number:], *KILLED[:number]][:num_kills]:  # each trial begins with another kind
        process = _begin(place, command)
        _wait_for(folder, process, draw)
        alone &= _killed(process, kind)
        if (folder / "sweep.jsonl").exists():  # or it was killed before it started
            command = ["-m", f"resume={name}"]
    code = _begin(place, [*command, "sweep.retry=true"]).wait()  # a job whose worker was killed has failed
    if not (alone and code == 8):
        print(f"  {folder}: exit {code}, nothing outlived it: {alone}; {(place / 'said').read_text()[-500:]}")
    return name, alone and code == 8


def _begin(place: Path, arguments: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer.cli", *arguments]
    with (place / "said").open("a") as said:
        return subprocess.Popen(command, cwd=place, env=environment, stdout=said, stderr=said, start_new_session=True)


def _wait_for(folder: Path, process: subprocess.Popen, draw: random.Random) -> None:
    """Until a random moment: of the time before the first job, or within one of the next jobs."""
    jobs, moment = draw.choice([0, 1, 2, 3]), draw.uniform(0, 0.7)
    if not jobs:
        time.sleep(10 * moment)
        return
    before = _num_begun(folder)
    while _num_begun(folder) < before + jobs and process.poll() is None:
        time.sleep(0.01)
    time.sleep(moment)


def _num_begun(folder: Path) -> int:
    return sum(event["event"] == "started" for event in Ledger(folder).events())


def _killed(process: subprocess.Popen, kind: str) -> bool:
    """Kill it, or what it has started and then it; whether all of that goes too."""
    started = [parent for parent in _children(process.pid) if b"forkserver" in _read(parent, "cmdline")]
    workers = [worker for parent in started for worker in _children(parent)]
    for pid in {"worker": workers, "parent": started}.get(kind, []):
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
    workers += [worker for parent in started for worker in _children(parent)]
    (os.killpg if kind == "group" else os.kill)(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # No job could have come to its end by itself; their parent may have to end its imports first.
    return _gone(workers, 2) and _gone(started, 30)


def _gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_is_alive, pids))


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def _is_alive(pid: int) -> bool:
    state = _read(pid, "stat").rpartition(b")")[2].split()[:1]
    return state not in ([], [b"Z"])


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _end_of(folder: Path) -> dict[str, object]:
    """All that a sweep has come to, but for the clock."""
    jobs = Ledger(folder).jobs()
    return {
        "states": {number: (job["event"], _values(job), job.get("objective")) for number, job in jobs.items()},
        "folders": {number: job["folder"] for number, job in jobs.items()},
        "leaderboard": _without_clock(folder / "leaderboard.csv"),
        "metrics": {str(file.parent.name): _without_clock(file) for file in folder.glob("*/metrics.csv")},
        "names": sorted(path.name for path in folder.iterdir()),
    }


def _values(job: Event) -> list[str]:
    return [line for line in job["overrides"] if not line.startswith("sweep.jobs=")]


def _without_clock(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(lines)]
