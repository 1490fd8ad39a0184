"""A sweep: begun or gone on with, and its end. Hydra makes the jobs and calls `trainer.sweep.jobs.job` for each."""

from __future__ import annotations

import math
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf

from trainer import run, runs
from trainer.arguments import again, checked_sweep, parse, quoted, without
from trainer.errors import CheckpointError, ConfigError, FileSystemError
from trainer.overrides import sweep_axes
from trainer.resume import FREE_IN_SWEEP, differences
from trainer.start import launch
from trainer.sweep.jobs import Plan, job
from trainer.sweep.leaderboard import report
from trainer.sweep.ledger import ENDED, NOT_HASHED, Event, Ledger, config_hash
from trainer.sweep.preflight import preflight
from trainer.sweep.screen import Screen, duration

FOLDER = "hydra.sweep.dir"


def sweep(flags: Namespace, command: list[str]) -> None:
    """Run every combination of values, or what is left of a sweep.

    Raises:
        SweepError: jobs have failed.
    """
    names = [line.split("=", 1)[1].strip("'\"") for line in flags.overrides if line.startswith("resume=")]
    folder, as_begun = None, dict[str, str]()
    if names:
        folder, flags, as_begun = resumed(names[-1], flags)
    configs, overrides = checked_sweep(flags)
    cfg = next(iter(configs.values()))
    hashes = {line: config_hash(each) for line, each in configs.items()}
    if folder:
        _check_unchanged(folder, hashes, configs)
    if without(flags, overrides, "hydra.sweep.subdir")[1]:
        raise ConfigError(f"hydra.sweep.subdir: the folders of jobs are their numbers; {FOLDER}=... names the sweep's")
    arguments, is_named = without(flags, overrides, FOLDER)
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            preflight(flags, Path(temporary))
        print("dry run: a few batches went through every model with its data and loss; no file was left")
        return
    num_jobs = math.prod(len(axis) for axis in sweep_axes(flags.overrides, flags.config_dir))
    begun = {"samples": hashes, "jobs": num_jobs, "cwd": os.getcwd()} if not folder else {}
    folder = folder or (run.claim if is_named else run.create)(Path(OmegaConf.select(cfg, FOLDER)))
    plan = Plan(
        folder.absolute(),
        again(flags, "config_dir", "config_name"),
        cfg.sweep.fail_fast,
        cfg.sweep.retry,
        _threads(cfg),
        as_begun,
    )
    arguments += ["hydra/hydra_logging=disabled", f"{FOLDER}={quoted(str(folder))}"]
    with run.lock(folder):
        Ledger(folder).append("sweep" if begun else "resumed", command=command, **begun)
        if not Ledger(folder).outlook() or _began_elsewhere(folder):
            _look_ahead(folder, flags, num_jobs)
        if _left(folder, num_jobs) == 0 and not cfg.sweep.retry:
            print(f"{folder}: all {num_jobs} jobs have ended, nothing is left to do")
        # Rich exits where what reads along, such as `head`, has read enough.
        with suppress(SystemExit), _full_disk_is_one(folder), Screen(folder, num_jobs):
            launch(arguments, partial(job, plan))
    if cfg.plots not in ("off", False):
        _draw(folder)
    with suppress(SystemExit), _full_disk_is_one(folder):
        report(folder)


@contextmanager
def _full_disk_is_one(folder: Path) -> Iterator[None]:
    """Hydra writes to each job's folder too, and the leaderboard is written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileSystemError(f"{error.filename or folder}: {error.strerror or error}") from error


def _left(folder: Path, num_jobs: int) -> int:
    return num_jobs - sum(event["event"] in ENDED for event in Ledger(folder).jobs().values())


def _look_ahead(folder: Path, flags: Namespace, num_jobs: int) -> None:
    """Try what can be tried in seconds; where that fails no job has begun, and nothing is left."""
    try:
        outlook = preflight(flags, folder)
    except BaseException:
        if not Ledger(folder).jobs():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    Ledger(folder).append("preflight", **outlook._asdict())
    print(f"about {duration(outlook.seconds)} for {num_jobs} jobs, ranked by {outlook.metric}", flush=True)


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


def _header(folder: Path) -> Event:
    return next((event for event in Ledger(folder).events() if event["event"] == "sweep"), {})


def _began_elsewhere(folder: Path) -> bool:
    """Whether paths without a beginning mean something else now than when the sweep was begun."""
    return _header(folder).get("cwd") != os.getcwd()


def resumed(name: str, flags: Namespace) -> tuple[Path, Namespace, dict[str, str]]:
    """The folder of a sweep to go on with, and the command line that began it, with what may change as it is now.

    And the keys that have changed, with what they were: the leaderboard is to compare nothing but what is swept.

    Raises:
        CheckpointError: there is none, or it was another sweep.
    """
    folder = runs.find_sweep(name, key="resume")
    header = _header(folder)
    if not {"command", "samples"} <= header.keys():
        raise CheckpointError(f"{folder / 'sweep.jsonl'}: does not say how the sweep was begun; start a new one")
    if _began_elsewhere(folder):
        print(f"begun in {header.get('cwd')}; relative paths are looked for in {os.getcwd()} now", flush=True)
    began = parse(header["command"])
    began.config_dir = flags.config_dir or began.config_dir
    given = {_key(line): line.lstrip("+") for line in flags.overrides if not line.startswith("resume=")}
    before = {_key(line): line.lstrip("+") for line in began.overrides}
    for key, line in given.items():
        if before.get(key) != line and (key not in FREE_IN_SWEEP or _is_swept(line, before.get(key, line), began)):
            raise CheckpointError(f"resume={name}: {line} is not how {folder} was begun; a new sweep may have it")
    began.overrides = list((before | given).values())  # each in its place: the order is that of the jobs
    return folder, began, {key: before.get(key, "") for key, line in given.items() if before.get(key) != line}


def _key(line: str) -> str:
    return line.split("=", 1)[0].lstrip("+")


def _is_swept(line: str, before: str, flags: Namespace) -> bool:
    return any(len(axis) > 1 for axis in sweep_axes([line, before], flags.config_dir))


def _check_unchanged(folder: Path, hashes: Mapping[str, str], configs: Mapping[str, DictConfig]) -> None:
    """Raises CheckpointError if what the values of a sweep stand for has changed since it was begun."""
    known = _header(folder)["samples"]
    if len(known) != len(hashes):  # such as a glob() that finds another file now
        raise CheckpointError(f"resume={folder}: the sweep has {len(hashes)} values to check now, and had {len(known)}")
    for (line, was), now, cfg in zip(known.items(), hashes.values(), configs.values(), strict=True):
        if was != now:
            raise CheckpointError(f"resume={folder}: what {line} stands for has changed{_changes(folder, was, cfg)}")


def _changes(folder: Path, was: str, cfg: DictConfig) -> str:
    """What is different now, where a job of the config that was has begun and so says what that is."""
    for event in Ledger(folder).jobs().values():
        if event["hash"] == was and (folder / event["folder"] / "config.yaml").is_file():
            return f": {'; '.join(differences(folder / event['folder'], cfg, NOT_HASHED).values())}"
    return ""
