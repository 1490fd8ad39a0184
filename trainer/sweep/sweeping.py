"""A sweep: begun or gone on with, each job of it, and its end. Hydra makes the jobs and calls `job` for each."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trainer import run, runs
from trainer.arguments import again, checked_flags, parse, quoted, without
from trainer.config import SLOTS
from trainer.errors import CheckpointError, ConfigError, Stopped
from trainer.overrides import checked, sweep_axes, sweep_samples
from trainer.resume import FREE_IN_SWEEP
from trainer.start import launch
from trainer.sweep.apart import run_apart
from trainer.sweep.leaderboard import report
from trainer.sweep.ledger import Ledger, config_hash
from trainer.sweep.screen import Screen, duration

FOLDER = "hydra.sweep.dir"
GROUPS = ("data", "model", "loss", "experiment")  # what decides whether a job can run at all


class Plan(NamedTuple):
    """What every job of a sweep is told; plain, since it goes to other processes."""

    folder: Path
    flags: list[str]  # of the command line that are no overrides
    fail_fast: bool
    retry: bool
    threads: int  # of a job; 0: as many as torch takes


def sweep(flags: Namespace, command: list[str]) -> None:
    """Run every combination of values, or what is left of a sweep.

    Raises:
        SweepError: jobs have failed.
    """
    names = [line.split("=", 1)[1] for line in flags.overrides if line.startswith("resume=")]
    folder = None
    if names:
        folder, flags = resumed(names[-1], flags)
    cfg, overrides = checked_flags(flags)
    arguments, is_named = without(flags, overrides, FOLDER)
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            preflight(flags, Path(temporary))
        print("dry run: a few batches went through every model with its data and loss; no file was left")
        return
    num_jobs = math.prod(len(axis) for axis in sweep_axes(flags.overrides, flags.config_dir))
    if not folder:
        folder = (run.claim if is_named else run.create)(Path(OmegaConf.select(cfg, FOLDER)))
        Ledger(folder).append("sweep", command=command, samples=_hashes(flags), jobs=num_jobs)
        try:
            print(f"about {duration(preflight(flags, folder))} for {num_jobs} jobs")
        except BaseException:
            shutil.rmtree(folder)  # nothing was run
            raise
    plan = Plan(
        folder.absolute(),
        again(flags, "config_dir", "config_name"),
        cfg.sweep.fail_fast,
        cfg.sweep.retry,
        _threads(cfg),
    )
    with run.lock(folder), Screen(folder, num_jobs):
        launch([*arguments, "hydra/hydra_logging=disabled", f"{FOLDER}={quoted(str(folder))}"], partial(job, plan))
    if cfg.plots not in ("off", False):
        _draw(folder)
    report(folder)


def _draw(folder: Path) -> None:
    """The curves of all jobs in one picture; a sweep has not failed because that does."""
    from trainer.commands.compare import draw_sweep

    try:
        draw_sweep(folder)
    except Exception as error:
        print(f"warning: no picture of the sweep: {error}", file=sys.stderr)


def _threads(cfg: DictConfig) -> int:
    """The share of the machine's cores of a job, where several run beside each other."""
    num_jobs = OmegaConf.select(cfg, "hydra.launcher.n_jobs") or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if num_jobs == 1 else max(1, cores // (num_jobs if num_jobs > 0 else cores))


def resumed(name: str, flags: Namespace) -> tuple[Path, Namespace]:
    """The folder of a sweep to go on with, and the command line that began it, with what may change as it is now.

    Raises:
        CheckpointError: there is none, it was another sweep, or what its values stand for has changed since.
    """
    folder = runs.find_sweep(name, key="resume")
    header = next((event for event in Ledger(folder).events() if event["event"] == "sweep"), {})
    if not header.get("command"):
        raise CheckpointError(f"{folder / 'sweep.jsonl'}: does not say how the sweep was begun; start a new one")
    began = parse(header["command"])
    began.config_dir = flags.config_dir or began.config_dir
    now = _hashes(began)
    for line, known in header["samples"].items():
        if now.get(line) != known:
            raise CheckpointError(f"resume={name}: what {line or 'the defaults'} stands for has changed since then")
    given = [line for line in flags.overrides if not line.startswith("resume=")]
    free = [line for line in given if line.split("=")[0] in FREE_IN_SWEEP]
    if others := [line for line in given if line not in began.overrides and line not in free]:
        raise CheckpointError(f"resume={name}: {others[0]} is not how {folder} was begun; a new sweep may have it")
    kept = [line for line in began.overrides if line.split("=")[0] not in {f.split("=")[0] for f in free}]
    began.overrides = kept + free
    return folder, began


def _hashes(flags: Namespace) -> dict[str, str]:
    """The overrides of jobs in which every value occurs once -> the hash of their config."""
    samples = sweep_samples(sweep_axes(flags.overrides, flags.config_dir))
    return {" ".join(s): config_hash(checked(s, flags.config_dir, flags.config_name)[0]) for s in samples}


def preflight(flags: Namespace, folder: Path) -> float:
    """Run a few batches of every combination of data, model and loss; the seconds that all jobs may take.

    Raises:
        ConfigError: what is wrong with one, and its overrides.
    """
    axes = sweep_axes(flags.overrides, flags.config_dir)
    trios: list[list[str]] = [[]]
    for axis in axes:
        values = axis if axis[0].split("=")[0].lstrip("+") in GROUPS else axis[:1]
        trios = [[*trio, value] for trio in trios for value in values]
    num_jobs = math.prod(len(axis) for axis in axes)
    seconds = 0.0
    for number, trio in enumerate(trios):
        quick = ["epochs=1", "limit_batches=3", "plots=off", "tensorboard=off", "checkpoint.min_seconds=1e9"]
        cfg, _ = checked([*trio, *quick], flags.config_dir, flags.config_name)
        whole, _ = checked(trio, flags.config_dir, flags.config_name)
        place = folder / f".preflight-{number}"
        place.mkdir()
        code = run_apart(cfg, place, dict.fromkeys(SLOTS, ""), ["dltrain", *trio])
        summary = run.read_json(place / "summary.json")
        shutil.rmtree(place)
        if code or summary.get("status") != "finished":
            raise ConfigError(f"{' '.join(trio)}: {summary.get('error') or f'ended with {code}'}")
        seconds += _estimate(whole, summary) * num_jobs / len(trios)
    return seconds


def _estimate(cfg: DictConfig, summary: Mapping) -> float:
    """Seconds of a run, from those of a few updates; the first of them is slow, so it is rather too much."""
    size = cfg.data.batch_size
    batches = 1 if size == "full" else math.ceil(summary["num_train"] / size)
    steps = min(cfg.max_steps, cfg.epochs * min(batches, cfg.limit_batches) / cfg.accumulate)
    learning = sum(summary["seconds"][part] for part in ("data", "forward", "backward", "update"))
    return steps * learning / max(1, summary["steps"])


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
