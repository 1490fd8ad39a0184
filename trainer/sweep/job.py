"""A job of a sweep: run in a process of its own, unless it has ended before."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer.config.keys import key_of
from trainer.config.schema import names_of
from trainer.errors import Halt, Halted, Stopped, SweepError
from trainer.files import read_json, write_json
from trainer.runs import index
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Event, Ledger
from trainer.sweep.launcher_process import is_wanted
from trainer.sweep.pool import Job, Pool, Workers
from trainer.sweep.process import SERVER_KILLED, Task
from trainer.sweep.pruning import AtRung, BelowMedian
from trainer.sweep.resume import config_hash


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    prune: str  # off, halving or median
    factor: int  # of halving
    as_begun: dict[str, str]  # keys that are set otherwise than when the sweep was begun -> their override then, or ""
    rung: int = 0  # the epoch that the jobs are to come to; 0: their end
    owner: str = ""  # who started the sweep, where a launcher has workers of its own
    threads: int = 0  # of a job there; 0: as many as torch takes


def job_of_a_worker(plan: Plan, cfg: DictConfig) -> float:
    """Run a job of Hydra's, in a worker of a launcher.

    Raises:
        SweepError: the sweep has been stopped. Hydra hands this on when all workers have ended their jobs.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    wanted = partial(is_wanted, plan.folder, plan.owner)
    with suppress(Stopped):
        if wanted():
            return job_of_hydra(plan, cfg, wanted)
    raise SweepError("the sweep has been stopped")


def job_of_hydra(plan: Plan, cfg: DictConfig, wanted: Callable[[], bool] = lambda: True) -> float:
    """Run the job that Hydra has started; return its objective, NaN if it failed.

    Raises:
        Stopped: a signal came, or the job was no longer wanted.
    """
    settings = HydraConfig.get()
    number = int(Path(settings.runtime.output_dir).name)
    with Pool(Workers(threads=plan.threads), wanted) as pool:
        pool.submit(number, job(plan, cfg, names_of(settings), number, list(settings.overrides.task)))
        pool.drain()
    return Ledger(plan.folder).jobs().get(number, {}).get("objective", math.nan)


def job(plan: Plan, cfg: DictConfig, names: Mapping[str, str], number: int, overrides: Sequence[str]) -> Job:
    """Run one job, unless it has ended before. What becomes of it is in the ledger.

    Raises:
        Stopped: a signal came.
    """
    ledger, folder = Ledger(plan.folder), plan.folder / str(number)
    before = ledger.jobs().get(number, {})
    if is_over(before, plan) or (plan.fail_fast and ledger.has_failed()):
        return
    if before:
        _wait_for_the_end_of(folder)
    if before.get("event") == "failed":
        RunFolder(folder).forget()
        before = {}
    as_begun = [plan.as_begun.get(key_of(line), line) for line in overrides]
    about = {"overrides": [*filter(None, as_begun)], "hash": config_hash(cfg), "folder": folder.name}
    ledger.append("started", job=number, **about)
    start = time.monotonic()

    def spent() -> float:
        return round(before.get("seconds", 0) + time.monotonic() - start, 3)

    command = ["dltrain", *plan.flags, *overrides]
    try:
        code = yield Task(without_pictures(cfg), folder, dict(names), command, _halt(plan, ledger, folder))
    except Stopped:
        ledger.append("interrupted", job=number, seconds=spent())
        raise
    summary = read_json(RunFolder(folder).summary)
    if code not in (0, Halted.code) or "best" not in summary:
        ledger.append("failed", job=number, seconds=spent(), code=code, error=why(code, summary))
        return
    objective = float(summary["best"][summary["monitor"]])  # one that is no number is text there
    reached = {"objective": objective, "metric": summary["monitor"], "epoch": summary["epochs"]}
    event = "finished" if code == 0 else "paused" if plan.rung else "pruned"
    ledger.append(event, job=number, seconds=spent(), **reached)
    if event == "pruned":
        write_json(RunFolder(folder).summary, summary | {"status": event})


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
    if code == SERVER_KILLED:
        return "killed, or the process that begins the jobs was"
    return str(summary.get("error") or f"the process ended with {code}")
