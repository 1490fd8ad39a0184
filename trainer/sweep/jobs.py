"""A job of a sweep, as Hydra's launchers call it: run in a process of its own, unless it has ended before."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer import run
from trainer.config import SLOTS
from trainer.errors import Stopped
from trainer.sweep.apart import run_apart
from trainer.sweep.hashing import config_hash
from trainer.sweep.ledger import Ledger


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    threads: int  # of a job; 0: as many as torch takes


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
    about = {"job": number, "overrides": overrides, "hash": config_hash(cfg), "folder": folder.name}
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
    ledger.append("failed", **about, code=code, error=_why(code, summary))
    return math.nan


def _why(code: int, summary: Mapping) -> str:
    if code < 0:
        return f"killed by signal {-code}" + ("; out of memory?" if code == -9 else "")
    return str(summary.get("error") or f"the process ended with {code}")
