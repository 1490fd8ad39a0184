"""A sweep: begun or gone on with, its jobs launched as long as some are left, and its end."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf

from trainer import run
from trainer.arguments import again, checked_sweep, quoted, without
from trainer.commands._table import say
from trainer.errors import ConfigError, FileSystemError, SweepError
from trainer.overrides import SEARCH, check_jobs, is_of_hydra, sweep_axes
from trainer.start import launch
from trainer.sweep.apart import context
from trainer.sweep.hashing import config_hash
from trainer.sweep.jobs import Plan, job
from trainer.sweep.launching import Launch, launcher
from trainer.sweep.leaderboard import Leaderboard
from trainer.sweep.ledger import ENDED, Ledger, axis_values
from trainer.sweep.preflight import preflight
from trainer.sweep.pruning import planned, prune
from trainer.sweep.report import report
from trainer.sweep.resuming import began_elsewhere, check_unchanged, resumed
from trainer.sweep.screen import Screen
from trainer.sweep.workers import Workers, workers
from trainer.view.words import duration, shown

FOLDER = "hydra.sweep.dir"
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


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
        check_unchanged(folder, hashes, configs)
    if without(flags, overrides, "hydra.sweep.subdir")[1]:
        raise ConfigError(f"hydra.sweep.subdir: the folders of jobs are their numbers; {FOLDER}=... names the sweep's")
    arguments, is_named = without(flags, overrides, FOLDER)
    of_jobs = [line for line in overrides if not is_of_hydra(line)]
    axes = [axis for axis in sweep_axes(overrides, flags.config_dir) if not is_of_hydra(axis[0])]
    is_search = "n_trials" in cfg.hydra.sweeper
    if is_search:
        _check_search(cfg, axes)
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            preflight(flags, Path(temporary))
        print("dry run: a few batches went through every model with its data and loss; no file was left")
        return
    context()  # imports for seconds, while there is something else to do here
    jobs = [list(job) for job in product(*axes)]
    num_jobs = cfg.hydra.sweeper.n_trials if is_search else len(jobs)
    rungs, share = planned(cfg, jobs)
    several = workers(cfg, num_jobs)
    begun = {} if folder else {"samples": hashes, "values": axis_values(axes), "jobs": num_jobs, "cwd": os.getcwd()}
    folder = folder or (run.claim if is_named else run.create)(Path(OmegaConf.select(cfg, FOLDER)))
    plan = Plan(
        folder.absolute(),
        again(flags, "config_dir", "config_name"),
        cfg.sweep.fail_fast,
        cfg.sweep.retry,
        several.threads,
        str(cfg.sweep.prune),
        cfg.sweep.factor,
        as_begun,
    )
    with run.lock(folder):
        ledger = Ledger(folder)
        ledger.append("sweep" if begun else "resumed", command=command, **begun)
        if not ledger.outlook() or began_elsewhere(folder):
            check_jobs(axes, flags.config_dir, flags.config_name)
            _look_ahead(folder, flags, num_jobs, share, several)
        if not cfg.sweep.retry and num_jobs == sum(job["event"] in ENDED for job in ledger.jobs().values()):
            print(f"{folder}: all {num_jobs} jobs have ended, nothing is left to do")
        with _full_disk_in_a_line(folder), Screen(folder, num_jobs), launcher(flags, plan, several) as launch_left:
            if is_search:
                from trainer.sweep.search import search

                search(of_jobs, cfg.hydra.sweeper, folder, partial(launch_left, plan), several.at_once)
            elif cfg.hydra.sweeper._target_ == GRID:
                _grid(launch_left, plan, jobs, rungs)
            else:  # another plugin for Hydra, which launches the jobs itself
                launch([*arguments, f"{FOLDER}={quoted(str(folder))}"], partial(job, plan))
    with _full_disk_in_a_line(folder):
        board = report(folder)
    if cfg.plots not in ("off", False):
        _draw(folder)
    say(f"board        tensorboard --logdir {shlex.quote(str(shown(folder)))}")
    if is_search:
        say(f"best         {_best(board, plan.flags)}")
    if board.failed:
        again_with = f"resume={folder} sweep.retry=true tries again"
        raise SweepError(f"{len(board.failed)} of the jobs of {folder} failed; {again_with}")


@contextmanager
def _full_disk_in_a_line(folder: Path) -> Iterator[None]:
    """Hydra writes to each job's folder too, and the leaderboard is written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileSystemError(f"{error.filename or folder}: {error.strerror or error}") from error


def _check_search(cfg: DictConfig, axes: list[list[str]]) -> None:
    try:
        from trainer.sweep.search import check
    except ModuleNotFoundError as error:
        raise ConfigError(f"{SEARCH}: {error.name} is missing; pip install 'dltrain[optuna]'") from error
    check(cfg, axes)


def _best(board: Leaderboard, flags: list[str]) -> str:
    """A command line that runs the job at the top of the leaderboard once more."""
    best = board.groups[0].best if board.groups else None
    if not best:
        return "none has finished"
    chosen = [flag for flag in flags if flag != "--config-name=config"]
    return shlex.join(["dltrain", *chosen, *Ledger(board.folder).jobs()[best.number]["overrides"]])


def _grid(launch_left: Launch, plan: Plan, jobs: list[list[str]], rungs: list[int]) -> None:
    """Launch what is left of the jobs; with rungs, in as many rounds, each with those that have come so far."""
    ledger = Ledger(plan.folder)
    passed = {event["epoch"] for event in ledger.rungs()}
    for rung in [*(rung for rung in rungs if rung not in passed), 0]:
        launch_left(plan._replace(rung=rung), dict(enumerate(jobs)))
        plan = plan._replace(retry=False)  # once is enough
        if plan.fail_fast and ledger.has_failed():
            return
        if rung:
            prune(plan.folder, rung, plan.factor)


def _look_ahead(folder: Path, flags: Namespace, num_jobs: int, share: float, several: Workers) -> None:
    """Try what can be tried in seconds; where that fails no job has begun, and nothing is left."""
    try:
        outlook = preflight(flags, folder)
    except BaseException:
        if not Ledger(folder).jobs():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    Ledger(folder).append("preflight", **outlook._asdict())
    seconds = outlook.seconds * num_jobs * share / several.at_once
    at_once = f", {several.at_once} at once" if several.at_once > 1 else ""
    print(f"about {duration(seconds)} for {num_jobs} jobs{at_once}, ranked by {outlook.metric}", flush=True)


def _draw(folder: Path) -> None:
    """Its leaderboard and the curves of its jobs as pictures; a sweep has not failed because that does."""
    from trainer.commands._sweep import draw_sweep

    try:
        draw_sweep(folder, folder)
    except Exception as error:
        print(f"warning: no picture of the sweep: {error}", file=sys.stderr)
