"""A sweep: begun or gone on with, and its end. Hydra makes the jobs and calls `trainer.sweep.jobs.job` for each."""

from __future__ import annotations

import math
import os
import shutil
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf

from trainer import run, runs
from trainer.arguments import again, checked_flags, parse, quoted, without
from trainer.errors import CheckpointError
from trainer.overrides import checked, sweep_axes, sweep_samples
from trainer.resume import FREE_IN_SWEEP
from trainer.start import launch
from trainer.sweep import apart
from trainer.sweep.jobs import Plan, job
from trainer.sweep.leaderboard import report
from trainer.sweep.ledger import Ledger, Outlook, config_hash
from trainer.sweep.preflight import preflight
from trainer.sweep.screen import Screen, duration

FOLDER = "hydra.sweep.dir"


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
    apart.begin()
    num_jobs = math.prod(len(axis) for axis in sweep_axes(flags.overrides, flags.config_dir))
    if not folder:
        folder = (run.claim if is_named else run.create)(Path(OmegaConf.select(cfg, FOLDER)))
        Ledger(folder).append("sweep", command=command, samples=_hashes(flags), jobs=num_jobs)
    plan = Plan(
        folder.absolute(),
        again(flags, "config_dir", "config_name"),
        cfg.sweep.fail_fast,
        cfg.sweep.retry,
        _threads(cfg),
    )
    arguments += ["hydra/hydra_logging=disabled", f"{FOLDER}={quoted(str(folder))}"]
    with run.lock(folder):
        Ledger(folder).outlook() or _look_ahead(folder, flags, num_jobs)
        with Screen(folder, num_jobs):
            launch(arguments, partial(job, plan))
    if cfg.plots not in ("off", False):
        _draw(folder)
    report(folder)


def _look_ahead(folder: Path, flags: Namespace, num_jobs: int) -> Outlook:
    """Try what can be tried in seconds; where that fails nothing has begun, and nothing is left."""
    try:
        outlook = preflight(flags, folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    Ledger(folder).append("preflight", **outlook._asdict())
    print(f"about {duration(outlook.seconds)} for {num_jobs} jobs, ranked by {outlook.metric}")
    return outlook


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
