"""Run one grid of jobs with the tool and with scripts: whole commands, timed, and their results."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import DATA, PEERS, ROOT, Result

from trainer.runs.ledger import Event, Ledger

WORKERS = 2
PYTHON = PEERS / ".venv" / "bin" / "python"
MODELS, RATES, SEEDS = ("mlp", "simple_cnn"), ("3e-4", "1e-3", "3e-3"), ("1", "2")
KEPT = {"train-images-idx3": 4000, "train-labels-idx1": 4000, "t10k-images-idx3": 1000, "t10k-labels-idx1": 1000}
OURS = ("data=mnist", "data.val_fraction=0.2", "data.batch_size=64", "optim=adam", "scheduler=constant")


@contextmanager
def _workplace() -> Iterator[Path]:
    """Yield a folder with the first images of MNIST in `data`, in MNIST's own format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data" / "MNIST" / "raw").mkdir(parents=True)
        for stem, count in KEPT.items():
            file = Path("MNIST", "raw", f"{stem}-ubyte")
            there = DATA / file
            content = there.read_bytes() if there.exists() else gzip.decompress(Path(f"{there}.gz").read_bytes())
            shape = struct.unpack_from(f">{content[3]}I", content, 4)
            size = len(content) // shape[0]  # of an example in bytes; the header is less than one of 60,000 parts
            start = 4 + 4 * len(shape)
            (folder / "data" / file).write_bytes(
                content[:4] + struct.pack(">I", count) + content[8:start] + content[start : start + count * size]
            )
        yield folder


def _run(command: list[str], folder: Path, threads: int) -> str:
    """Return what the command prints."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    told = {"PYTHONPATH": path, "DLTRAIN_DATA": str(folder / "data"), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | told | {"PYTHONWARNINGS": "ignore"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def dltrain(*overrides: str, models: Sequence[str] = MODELS) -> Result:
    """Run the grid as a sweep of the tool."""
    grid = [f"model={','.join(models)}", f"optim.lr={','.join(RATES)}", f"seed={','.join(SEEDS)}"]
    with _workplace() as folder:
        sweep = folder / "sweep"
        command = [sys.executable, "-m", "trainer.cli", "-m", *grid, *OURS, *overrides, f"hydra.sweep.dir={sweep}"]
        begin, start = time.time(), time.perf_counter()
        _run(command, folder, WORKERS)
        seconds = time.perf_counter() - start
        events, jobs = Ledger(sweep).events(), Ledger(sweep).jobs()
        summaries = [json.loads((sweep / job["folder"] / "summary.json").read_text()) for job in jobs.values()]
        epochs = sum(_num_rows(sweep / job["folder"] / "metrics.csv") for job in jobs.values())
    best = max((job for job in jobs.values() if job["event"] == "finished"), key=lambda job: job["objective"])
    about = {
        "jobs": len(jobs),
        "steps": sum(summary.get("steps", 0) for summary in summaries),
        "epochs": epochs,
        "best": best["objective"],
        "best_job": best["overrides"],
        **_parts(events, begin),
    }
    reached = [job["objective"] for job in jobs.values() if "objective" in job]
    return Result(seconds, 100 * statistics.fmean(reached), seconds, about)


def _num_rows(path: Path) -> int:
    with path.open(newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def _parts(events: list[Event], begin: float) -> dict[str, float]:
    """Return the seconds before the first job, per job and between jobs (medians), of a serial sweep."""
    times = [(event, datetime.fromisoformat(event["time"]).timestamp()) for event in events if "job" in event]
    between = [at - before for (event, at), (_, before) in zip(times[2::2], times[1::2], strict=False)]
    lasted = [event["seconds"] for event, _ in times if event["event"] == "finished"]
    return {
        "first_s": times[0][1] - begin,
        "job_s": statistics.median(lasted),
        "between_s": statistics.median(between),
    }


def one(*overrides: str) -> Result:
    """Run one job of the grid with the tool."""
    with _workplace() as folder:
        start = time.perf_counter()
        _run([sys.executable, "-m", "trainer.cli", "model=mlp", *OURS, *overrides], folder, WORKERS)
        seconds = time.perf_counter() - start
    return Result(seconds, float("nan"), seconds, {})


def script(name: str, epochs: int, at_a_time: int = 0, jobs: int | None = None, batches: int = 0) -> Result:
    """Run the grid with a peer's script: in one process, or several at a time with one job each.

    Args:
        name: file in peers/, without .py.
        epochs: epochs per job.
        at_a_time: processes at a time; 0 runs the whole grid in one process.
        jobs: only this many jobs, from the start of the grid, each in its own process.
        batches: batches per epoch; 0: all.
    """
    if not PYTHON.exists():
        sys.exit("the peers have no environment yet: python benchmarks/performance.py install")
    grid = list(itertools.product(MODELS, RATES, SEEDS))[:jobs]
    with _workplace() as folder:
        command = [str(PYTHON), str(PEERS / f"{name}.py"), f"--data={folder / 'data'}", f"--epochs={epochs}"]
        command += [f"--output={folder / 'output'}", *([f"--batches={batches}"] if batches else [])]
        commands = [[*command, "--model", model, "--lr", lr, "--seed", seed] for model, lr, seed in grid]
        if not at_a_time:
            commands = [[*command, "--model", *MODELS, "--lr", *RATES, "--seed", *SEEDS]]
        threads = WORKERS // max(1, at_a_time)
        start = time.perf_counter()
        with ThreadPoolExecutor(max(1, at_a_time)) as pool:
            printed = list(pool.map(lambda one: _run(one, folder, threads), commands))
        seconds = time.perf_counter() - start
    scores = [json.loads(line) for text in printed for line in text.splitlines() if line.startswith("{")]
    about: dict[str, Any] = {"jobs": len(scores), "steps": sum(score["steps"] for score in scores)}
    return Result(seconds, 100 * statistics.fmean(score["val"] for score in scores), seconds, about)


def peers_version(package: str) -> str:
    """Return the version of a package in the peers' environment."""
    code = f"from importlib.metadata import version; print(version('{package}'))"
    return subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def configuration(overrides: list[str]) -> str:
    """Return a job's overrides of the grid's keys."""
    return " ".join(line for line in overrides if line.startswith(("model=", "optim.lr=", "seed=")))
