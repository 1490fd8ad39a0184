"""A job of a sweep, run in a subprocess unless it has already ended."""

import math
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
from trainer.errors import Halt, Halted, Stopped, SweepError, never
from trainer.files import read_json, write_json
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Event, Ledger
from trainer.runs.lock import is_running
from trainer.sweeps.launcher_process import is_wanted
from trainer.sweeps.pool import Job, Pool, Workers
from trainer.sweeps.process import SERVER_KILLED, Task
from trainer.sweeps.pruning import AtRung, BelowMedian
from trainer.sweeps.resume import config_hash


class Plan(NamedTuple):
    """What every job of a sweep needs to know; plain data, since it is sent to other processes."""

    folder: Path
    flags: list[str]  # command-line flags, without overrides
    fail_fast: bool
    retry: bool
    prune: str  # off, halving or median
    factor: int  # of halving
    as_started: dict[str, str]  # keys changed on resume -> their original override, "" if there was none
    rung: int = 0  # epoch at which jobs pause; 0: they run to the end
    owner: str = ""  # process that started the sweep, for launchers with their own workers
    threads: int = 0  # per job there; 0: torch's default


def job_of_a_worker(plan: Plan, cfg: DictConfig) -> float:
    """Run a job in a launcher's worker.

    Raises:
        SweepError: the sweep was stopped. Hydra reraises this once all workers have ended their jobs.
    """
    wanted = partial(is_wanted, plan.folder, plan.owner)
    with suppress(Stopped):
        if wanted():
            return job_of_hydra(plan, cfg, wanted)
    raise SweepError("the sweep was stopped")


def job_of_hydra(plan: Plan, cfg: DictConfig, wanted: Callable[[], bool] = lambda: True) -> float:
    """Run the job that Hydra started; return its objective, NaN if it failed.

    Raises:
        Stopped: a signal came, or the job was no longer wanted.
    """
    settings = HydraConfig.get()
    number = int(Path(settings.runtime.output_dir).name)
    with Pool(Workers(threads=plan.threads), wanted) as pool:
        pool.submit(number, job(plan, cfg, names_of(settings), number, list(settings.overrides.task)))
        pool.drain()
    return Ledger(plan.folder).jobs().get(number, {}).get("objective", math.nan)


def job(
    plan: Plan,
    cfg: DictConfig,
    names: Mapping[str, str],
    number: int,
    overrides: Sequence[str],
    composed: DictConfig | None = None,
) -> Job:
    """Run one job, unless it has already ended, and record the outcome in the ledger; see `trainer.job.run_job`.

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
    as_started = [plan.as_started.get(key_of(line), line) for line in overrides]
    about = {"overrides": [*filter(None, as_started)], "hash": config_hash(cfg), "folder": folder.name}
    ledger.append("started", job=number, **about)
    start = time.monotonic()

    def spent() -> float:
        return round(before.get("seconds", 0) + time.monotonic() - start, 3)

    command = ["dltrain", *plan.flags, *overrides]
    try:
        code = yield Task(without_pictures(cfg), folder, dict(names), command, _halt(plan, ledger, folder), composed)
    except Stopped:
        ledger.append("interrupted", job=number, seconds=spent())
        raise
    summary = read_json(RunFolder(folder).summary)
    if code not in (0, Halted.code) or "best" not in summary:
        ledger.append("failed", job=number, seconds=spent(), code=code, error=why(code, summary))
        return
    objective = float(summary["best"][summary["monitor"]])  # NaN is text there
    reached = {"objective": objective, "metric": summary["monitor"], "epoch": summary["epochs"]}
    event = "finished" if code == 0 else "paused" if plan.rung else "pruned"
    ledger.append(event, job=number, seconds=spent(), **reached)
    if event == "pruned":
        write_json(RunFolder(folder).summary, summary | {"status": event})


def without_pictures(cfg: DictConfig) -> DictConfig:
    """Turn `plots=auto` off: the sweep draws its own pictures."""
    if cfg.plots == "auto":
        cfg.plots = "off"
    return cfg


def is_over(job: Event, plan: Plan) -> bool:
    """Return whether a job has nothing left to do for now."""
    event = job.get("event")
    waits = event == "paused" and job["epoch"] >= plan.rung > 0
    return waits or event in ("finished", "pruned") or (event == "failed" and not plan.retry)


def _halt(plan: Plan, ledger: Ledger, folder: Path) -> Halt:
    if plan.rung:
        return AtRung(plan.rung)
    outlook = ledger.outlook()
    if plan.prune == "median" and outlook:
        return BelowMedian(plan.folder, folder.name, outlook.metric, outlook.higher_is_better)
    return never


def _wait_for_the_end_of(folder: Path) -> None:
    """Wait for a job that was killed with its sweep: it may still be saving."""
    deadline = time.monotonic() + 60
    while is_running(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def why(code: int, summary: Mapping) -> str:
    """Return in one line why a job ended."""
    if code < 0:
        return f"killed by signal {-code}" + ("; out of memory?" if code == -9 else "")
    if code == SERVER_KILLED:
        return "the job, or the process that starts jobs, was killed"
    return str(summary.get("error") or f"the process exited with code {code}")
