"""Run a sweep: start or resume it, launch the jobs that are left, and report."""

import os
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf

from trainer.config.axes import check_jobs, sweep_axes
from trainer.config.command_line import again, checked_sweep
from trainer.config.keys import axis_values, is_of_hydra, key_of
from trainer.config.launchers import BASIC
from trainer.config.user_modules import chosen_by, names_user_module
from trainer.errors import FileSystemError, SweepError
from trainer.runs import folder as run_folder
from trainer.runs.folds import has_folds
from trainer.runs.leaderboard import Leaderboard
from trainer.runs.ledger import ENDED, Ledger, Outlook
from trainer.runs.lock import lock
from trainer.runs.records import POSITIVE
from trainer.runs.resume import about_f1
from trainer.runs.trust import signature, stranger_sweep
from trainer.sweeps.folds import axis_of_folds, out_of_fold
from trainer.sweeps.job import Plan
from trainer.sweeps.launch import launcher
from trainer.sweeps.plan import FOLDER, Course, Grid, course
from trainer.sweeps.pool import Workers
from trainer.sweeps.preflight import preflight
from trainer.sweeps.process import context
from trainer.sweeps.resume import check_unchanged, config_hash, resumed, started_elsewhere
from trainer.sweeps.workers import in_words, workers
from trainer.view.sweep.live import Screen
from trainer.view.sweep.table import report
from trainer.view.table import say
from trainer.view.words import duration, shown


def sweep(flags: Namespace, command: list[str]) -> Path | None:
    """Run every combination of values, or what is left of a sweep, and return its folder; a dry run leaves none.

    Raises:
        SweepError: some jobs failed.
    """
    context()  # starts seconds of imports in the background
    trust = "trust=true" in flags.overrides
    folder, flags, as_started = resumed(flags)
    with chosen_by(stranger_sweep(folder) if folder and not trust else None):
        configs, overrides = checked_sweep(flags)
        if axis := axis_of_folds([*configs.values()]):
            flags = Namespace(**vars(flags) | {"overrides": [*flags.overrides, axis]})
            configs, overrides = checked_sweep(flags)
    cfg, hashes = next(iter(configs.values())), {line: config_hash(each) for line, each in configs.items()}
    if folder:
        check_unchanged(folder, hashes, configs)
        for line in about_f1(Ledger(folder).f1, cfg):
            print(line, flush=True)
    given = [key_of(line) for line in overrides]
    axes = [axis for axis in sweep_axes(overrides, flags.config_dir) if not is_of_hydra(axis[0])]
    way = course(cfg, flags, overrides, axes)
    if isinstance(way, Grid):
        check_jobs(axes, flags.config_dir, flags.config_name)
    target = cfg.hydra.launcher._target_
    share = workers(cfg, way.num_jobs)
    trial = partial(preflight, flags, configs, share if target == BASIC else Workers())  # always on this machine
    if cfg.sweep.jobs != 1:
        print(f"sweep.jobs={cfg.sweep.jobs}: {in_words(share)}")
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            trial(Path(temporary))
        print("dry run: a few batches passed through every model with its data and loss; no files left behind")
        return None
    started = {"samples": hashes, "values": axis_values(axes), "cwd": os.getcwd(), "f1": POSITIVE}
    if any(map(names_user_module, configs.values())):
        started |= signature(command, hashes)
    event = "resumed" if folder else "sweep"
    if not folder:
        folder = Path(OmegaConf.select(cfg, FOLDER))
        folder = (run_folder.claim if FOLDER in given else run_folder.create)(folder)
    plan = Plan(
        folder.absolute(),
        again(flags),
        cfg.sweep.fail_fast,
        cfg.sweep.retry,
        str(cfg.sweep.prune),
        cfg.sweep.factor,
        as_started,
    )
    with lock(folder), _full_disk_in_a_line(folder):
        ledger = Ledger(folder)
        ledger.append(event, command=command, jobs=way.num_jobs, **(started if event == "sweep" else {}))
        if not ledger.outlook() or started_elsewhere(folder):
            _look_ahead(folder, trial, way, share.at_once)
        if not cfg.sweep.retry and way.num_jobs == sum(job["event"] in ENDED for job in ledger.jobs().values()):
            print(f"{folder}: all {way.num_jobs} jobs have ended, nothing left to do")
        with Screen(folder, way.num_jobs), launcher(flags, target, plan.folder, share) as jobs:
            way.run(jobs, plan, share.at_once)
    _end(folder, plan, cfg)
    return folder


def _look_ahead(folder: Path, trial: Callable[[Path], Outlook], way: Course, at_once: int) -> None:
    """Try every kind of job for a few seconds; if that fails before any job started, delete the folder."""
    try:
        outlook = trial(folder)
    except BaseException:
        if not Ledger(folder).jobs():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    Ledger(folder).append("preflight", **outlook._asdict())
    seconds = duration(outlook.seconds * way.num_jobs * way.share / at_once)
    print(f"about {seconds} for {way.num_jobs} jobs, ranked by {outlook.metric}", flush=True)


def _end(folder: Path, plan: Plan, cfg: DictConfig) -> None:
    """Print and save the leaderboard and its pictures."""
    with _full_disk_in_a_line(folder):
        board = report(folder)
        if has_folds(folder):
            out_of_fold(board)
    if cfg.plots not in ("off", False):
        _draw(folder)
    say(f"board        tensorboard --logdir {shown(folder)}")
    if "n_trials" in cfg.hydra.sweeper:
        say(f"best         {_best(board, plan.flags)}")
    if board.failed:
        again_with = f"{shlex.quote(f'resume={folder}')} sweep.retry=true retries them"
        raise SweepError(f"{len(board.failed)} of the jobs in {folder} failed; {again_with}")


@contextmanager
def _full_disk_in_a_line(folder: Path) -> Iterator[None]:
    """Turn an OSError, such as a full disk, into one line: Hydra and the leaderboard write to the folder too."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileSystemError(f"{error.filename or folder}: {error.strerror or error}") from error


def _best(board: Leaderboard, flags: list[str]) -> str:
    """Return a command line that repeats the job at the top of the leaderboard."""
    best = board.groups[0].best if board.groups else None
    if not best:
        return "no job has finished"
    return shlex.join(["dltrain", *flags, *Ledger(board.folder).jobs()[best.number]["overrides"]])


def _draw(folder: Path) -> None:
    """Draw the leaderboard and the curves of the jobs; if drawing fails, the sweep has not failed."""
    from trainer.view.sweep.picture import draw_sweep

    try:
        draw_sweep(folder, folder)
    except Exception as error:
        print(f"warning: could not draw the sweep: {error}", file=sys.stderr)
