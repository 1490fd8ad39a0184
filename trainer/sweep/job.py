"""A job of a sweep, as Hydra's launchers call it: run in a process of its own, unless it has ended before."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer.config.keys import key_of
from trainer.config.schema import names_of
from trainer.errors import Halt, Halted, Stopped, SweepError
from trainer.runs import folder as run_folder
from trainer.runs import index
from trainer.runs.ledger import Event, Ledger
from trainer.sweep.hashing import config_hash
from trainer.sweep.process import run_apart
from trainer.sweep.pruning import AtRung, BelowMedian
from trainer.sweep.workers import BUSY, is_left, is_wanted, settle_in

FORKSERVER_KILLED = 255  # the exit code that multiprocessing reports where it cannot know


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    threads: int  # of a job; 0: as many as torch takes
    prune: str  # off, halving or median
    factor: int  # of halving
    as_begun: dict[str, str]  # keys that are set otherwise than when the sweep was begun -> their override then, or ""
    rung: int = 0  # the epoch that the jobs are to come to; 0: their end
    owner: str = ""  # who began the sweep, where jobs run in other processes' workers


def job_of_a_worker(plan: Plan, cfg: DictConfig) -> float:
    """As `job`, in one of several processes at once.

    Raises:
        SweepError: the sweep has been stopped. Hydra hands this on when all workers have ended their jobs.
    """
    settle_in(plan.folder, plan.owner, plan.threads)
    with suppress(Stopped), BUSY:
        if is_wanted(plan.folder, plan.owner):
            return job(plan, cfg)
    if is_left(plan.folder, plan.owner):
        os._exit(0)
    raise SweepError("the sweep has been stopped")


def job(plan: Plan, cfg: DictConfig) -> float:
    """Run one job, unless it has ended before; its objective, NaN of one that failed.

    Raises:
        Stopped: a signal has come.
    """
    settings = HydraConfig.get()
    folder, overrides = Path(settings.runtime.output_dir), list(settings.overrides.task)
    ledger, number = Ledger(plan.folder), int(folder.name)
    before = ledger.jobs().get(number, {})
    if is_over(before, plan) or (plan.fail_fast and ledger.has_failed()):
        return before.get("objective", math.nan)
    if before:
        _wait_for_the_end_of(folder)
    if before.get("event") == "failed":
        run_folder.forget(folder)
        before = {}
    as_begun = [plan.as_begun.get(key_of(line), line) for line in overrides]
    about = {"overrides": [*filter(None, as_begun)], "hash": config_hash(cfg), "folder": folder.name}
    ledger.append("started", job=number, **about)
    start = time.monotonic()

    def spent() -> float:
        return round(before.get("seconds", 0) + time.monotonic() - start, 3)

    wanted = partial(is_wanted, plan.folder, plan.owner) if plan.owner else lambda: True
    try:
        command = ["dltrain", *plan.flags, *overrides]
        code = run_apart(
            without_pictures(cfg),
            folder,
            names_of(settings),
            command,
            plan.threads,
            _halt(plan, ledger, folder),
            wanted,
        )
    except Stopped:
        ledger.append("interrupted", job=number, seconds=spent())
        raise
    summary = run_folder.read_json(folder / "summary.json")
    if code not in (0, Halted.code) or "best" not in summary:
        ledger.append("failed", job=number, seconds=spent(), code=code, error=why(code, summary))
        return math.nan
    objective = float(summary["best"][summary["monitor"]])  # one that is no number is text there
    reached = {"objective": objective, "metric": summary["monitor"], "epoch": summary["epochs"]}
    event = "finished" if code == 0 else "paused" if plan.rung else "pruned"
    ledger.append(event, job=number, seconds=spent(), **reached)
    if event == "pruned":
        run_folder.write_json(folder / "summary.json", summary | {"status": event})
    return objective


def without_pictures(cfg: DictConfig) -> DictConfig:
    """A job's config: with `plots=auto` a sweep has pictures of its own, and its jobs have none."""
    if cfg.plots == "auto":
        cfg.plots = "off"
    return cfg


def is_over(job: Event, plan: Plan) -> bool:
    """Whether nothing is left to do of a job, for now."""
    event = job.get("event")
    waits = event == "paused" and job["epoch"] >= plan.rung > 0
    return waits or event in ("finished", "pruned") or (event == "failed" and not plan.retry)


def _halt(plan: Plan, ledger: Ledger, folder: Path) -> Halt | None:
    if plan.rung:
        return AtRung(plan.rung)
    outlook = ledger.outlook()
    if plan.prune == "median" and outlook:
        return BelowMedian(plan.folder, folder.name, outlook.metric, outlook.higher_is_better)
    return None


def _wait_for_the_end_of(folder: Path) -> None:
    """A job that was killed with its sweep may need a moment for that, or is still saving what it has."""
    deadline = time.monotonic() + 60
    while index.is_running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def why(code: int, summary: Mapping) -> str:
    """What ended a job, in a line."""
    if code < 0:
        return f"killed by signal {-code}" + ("; out of memory?" if code == -9 else "")
    if code == FORKSERVER_KILLED:
        return "killed, or the process that begins the jobs was"
    return str(summary.get("error") or f"the process ended with {code}")
