"""A job of a sweep, as Hydra's launchers call it: run in a process of its own, unless it has ended before."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer import run, runs
from trainer.config import SLOTS
from trainer.errors import Stopped
from trainer.sweep.apart import run_apart
from trainer.sweep.ledger import Ledger, config_hash

FORKSERVER_KILLED = 255  # the exit code that multiprocessing reports where it cannot know


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    threads: int  # of a job; 0: as many as torch takes
    as_begun: dict[str, str]  # keys that are set otherwise than when the sweep was begun -> their override then, or ""


def job(plan: Plan, cfg: DictConfig) -> float:
    """Run one job, unless it has ended before; its objective, NaN of one that failed.

    Raises:
        Stopped: a signal has come.
    """
    settings = HydraConfig.get()
    number, overrides = settings.job.num, list(settings.overrides.task)
    ledger, folder = Ledger(plan.folder), Path(settings.runtime.output_dir)
    before = ledger.jobs().get(number, {})
    if before.get("event") == "finished":
        return before["objective"]
    failed = before.get("event") == "failed"
    if failed and not plan.retry:
        return math.nan
    if plan.fail_fast and ledger.has_failed():
        return math.nan
    if before:
        _wait_for_the_end_of(folder)
    if failed:
        run.forget(folder)
    as_begun = [plan.as_begun.get(line.split("=")[0].lstrip("+"), line) for line in overrides]
    about = {"job": number, "overrides": [*filter(None, as_begun)], "hash": config_hash(cfg), "folder": folder.name}
    ledger.append("started", **about)
    start = time.monotonic()
    names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
    try:
        code = run_apart(cfg, folder, names, ["dltrain", *plan.flags, *overrides], plan.threads)
    except Stopped:
        ledger.append("interrupted", job=number, seconds=time.monotonic() - start)
        raise
    summary = run.read_json(folder / "summary.json")
    about = {"job": number, "seconds": round(time.monotonic() - start, 3)}
    if code == 0 and summary.get("status") == "finished":
        objective = float(summary["best"][summary["monitor"]])  # one that is no number is text there
        ledger.append("finished", **about, objective=objective, metric=summary["monitor"])
        return objective
    ledger.append("failed", **about, code=code, error=why(code, summary))
    return math.nan


def _wait_for_the_end_of(folder: Path) -> None:
    """A job that was killed with its sweep may need a moment for that, where the machine is busy."""
    deadline = time.monotonic() + 15
    while runs.is_running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def why(code: int, summary: Mapping) -> str:
    """What ended a job, in a line."""
    if code < 0:
        return f"killed by signal {-code}" + ("; out of memory?" if code == -9 else "")
    if code == FORKSERVER_KILLED:
        return "killed, or the process that begins the jobs was"
    return str(summary.get("error") or f"the process ended with {code}")
