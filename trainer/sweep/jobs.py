"""A job of a sweep, as Hydra's launchers call it: run in a process of its own, unless it has ended before."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer import run, runs
from trainer.config import SLOTS
from trainer.errors import Stopped, SweepError
from trainer.sweep.apart import run_apart
from trainer.sweep.ledger import Ledger, config_hash
from trainer.sweep.workers import is_left, is_wanted, settle_in


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    threads: int  # of a job; 0: as many as torch takes
    owner: str = ""  # who began the sweep, where jobs run in other processes' workers


def job_of_a_worker(plan: Plan, cfg: DictConfig) -> float:
    """As `job`, in one of several processes at once.

    Raises:
        SweepError: the sweep has been stopped. Hydra hands this on when all workers have ended their jobs.
    """
    settle_in(plan.threads)
    try:
        if is_wanted(plan.folder, plan.owner):
            return job(plan, cfg)
    except Stopped:
        pass
    if is_left(plan.folder, plan.owner):
        os._exit(0)
    raise SweepError("the sweep has been stopped")


def job(plan: Plan, cfg: DictConfig) -> float:
    """Run one job, unless it has ended before; its objective, NaN of one that failed.

    Raises:
        Stopped: a signal has come.
    """
    settings = HydraConfig.get()
    number, overrides = settings.job.num, list(settings.overrides.task)
    ledger, folder = Ledger(plan.folder), Path(settings.runtime.output_dir)
    known = ledger.jobs()
    before = known.get(number, {})
    if before.get("event") == "finished":
        return before["objective"]
    failed = before.get("event") == "failed"
    if failed and not plan.retry:
        return math.nan
    if plan.fail_fast and any(event["event"] == "failed" for n, event in known.items() if n != number):
        return math.nan
    if failed:
        run.forget(folder)
    if before:
        _wait_for_the_end_of(folder)
    about = {"job": number, "overrides": overrides, "hash": config_hash(cfg), "folder": folder.name}
    ledger.append("started", **about)
    start = time.monotonic()
    names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
    wanted = partial(is_wanted, plan.folder, plan.owner) if plan.owner else lambda: True
    try:
        code = run_apart(cfg, folder, names, ["dltrain", *plan.flags, *overrides], plan.threads, wanted)
    except Stopped:
        ledger.append("interrupted", job=number, seconds=time.monotonic() - start)
        raise
    summary = run.read_json(folder / "summary.json")
    about = {"job": number, "seconds": round(time.monotonic() - start, 3)}
    if code == 0 and summary.get("status") == "finished":
        objective = float(summary["best"][summary["monitor"]])  # one that is no number is text there
        ledger.append("finished", **about, objective=objective, metric=summary["monitor"])
        return objective
    ledger.append("failed", **about, code=code, error=_why(code, summary))
    return math.nan


def _wait_for_the_end_of(folder: Path) -> None:
    """A job of a sweep that was killed, and is gone on with at once, may still be saving what it has."""
    deadline = time.monotonic() + 60
    while runs.is_running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def _why(code: int, summary: Mapping) -> str:
    if code < 0:
        return f"killed by signal {-code}" + ("; out of memory?" if code == -9 else "")
    return str(summary.get("error") or f"the process ended with {code}")
