"""From a command line to a run or a sweep: begun in a folder of its own, gone on with, or tried and thrown away."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from trainer import resume, run, runs
from trainer.arguments import again, checked_flags, parse, quoted
from trainer.config import CONF, SLOTS
from trainer.errors import CheckpointError, ConfigError, DltrainError, SweepError, as_line, for_the_user

log = logging.getLogger("dltrain")


def start(flags: Namespace, command: list[str]) -> None:
    """One run, or with --multirun a sweep, in a folder of its own; a dry run's folder does not outlive it."""
    cfg, overrides = checked_flags(flags)
    if cfg.resume is not None:
        if flags.multirun or cfg.dry_run:
            raise ConfigError("resume goes on with one run; leave out -m and dry_run")
        if began := resume.unfinished(cfg) if cfg.resume == "auto" else runs.find(str(cfg.resume), key="resume"):
            _go_on(flags, began)
            return
    key = "hydra.sweep.dir" if flags.multirun else "hydra.run.dir"
    others = [o for o in overrides if not o.lstrip("+").startswith(f"{key}=")]
    named = len(others) < len(overrides)
    arguments = [*again(flags, "config_dir", "config_name", "multirun"), *others]
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            failures = launch([*arguments, "epochs=1", "limit_batches=1", f"{key}={quoted(temporary)}"], command)
        _raise(failures, "a dry sweep" if flags.multirun else "")
        print("dry run: one batch went through everything; no file was left")
        return
    folder = (run.claim if named else run.create)(Path(OmegaConf.select(cfg, key)))
    failures = launch([*arguments, f"{key}={quoted(str(folder))}"], command)
    if flags.multirun and cfg.plots not in ("off", False):
        _draw_sweep(folder)
    if not flags.multirun and failures and isinstance(failures[0], ConfigError):
        shutil.rmtree(folder)  # nothing was run: there is nothing to find in it, and the name is free again
    _raise(failures, str(folder) if flags.multirun else "")


def _go_on(flags: Namespace, folder: Path) -> None:
    """Go on with a run: its own command line, and behind it what is given now, as far as that may change."""
    command = resume.command_of(folder)
    began = parse(command)
    began.config_dir = flags.config_dir or began.config_dir
    if began.multirun:
        raise ConfigError(f"{folder} is a job of a sweep, and only single runs can be gone on with")
    began.overrides = resume.merged(began.overrides, flags.overrides)
    cfg, overrides = checked_flags(began)
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(f"{folder} cannot go on as another run: {'; '.join(fixed)}; only {free} may change")
    summary = run.read_json(folder / "summary.json")
    if summary.get("status") == "finished" and not changed:
        print(f"{folder} has finished: nothing is left to do; epochs={summary.get('epochs', 0) * 2} would go on")
        return
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    arguments = [*again(began, "config_dir", "config_name"), *overrides, f"hydra.run.dir={quoted(str(folder))}"]
    _raise(launch(arguments, [*command, *flags.overrides]), "")


def _draw_sweep(folder: Path) -> None:
    """The curves of all jobs in one picture; a sweep has not failed because that does."""
    from trainer.commands.compare import draw_sweep

    try:
        draw_sweep(folder)
    except Exception as error:
        print(f"warning: no picture of the sweep: {error}", file=sys.stderr)


def _raise(failures: list[DltrainError], sweep: str) -> None:
    """The error of the run or, of a sweep, how many jobs had one."""
    if failures and sweep:
        raise SweepError(f"{len(failures)} jobs of {sweep} failed: {'; '.join(str(error) for error in failures)}")
    if failures:
        raise failures[0]


def launch(arguments: list[str], command: list[str]) -> list[DltrainError]:
    """Have Hydra make the config, or those of a sweep, and train; what ended each job that failed."""
    failures: list[DltrainError] = []
    sys.argv[1:] = arguments
    job = functools.partial(_job, failures, ["dltrain", *command])
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    return failures


def _job(failures: list[DltrainError], command: list[str], cfg: DictConfig) -> float:
    """What Hydra calls for each job, in its folder. Failures are kept: Hydra would print its own lines about them."""
    from trainer.train import train

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
    try:
        with run.lock(folder):
            return train(cfg, folder, names, command)
    except BaseException as error:
        log.exception("the run ended early")
        status = "failed" if isinstance(error, Exception) else "interrupted"
        end = {"status": status, "error": str(error), "run_dir": str(folder.absolute())}
        with contextlib.suppress(OSError):
            if run.read_json(folder / "summary.json").get("status") != "finished":  # it was, and then something failed
                run.write_json(folder / "summary.json", end)
        if not isinstance(error, Exception):
            raise
        failures.append(for_the_user(error, folder, cfg.data.batch_size, cfg.accumulate))
        told: BaseException | None = failures[-1]
        while told:  # the frames of a job that failed would keep its data, and the processes that read it
            told.__traceback__, told = None, told.__cause__ or told.__context__
    if settings.mode == RunMode.MULTIRUN:
        what = f"job {settings.job.num} ({' '.join(settings.overrides.task)}): {failures[-1]}"
        print(as_line(failures[-1].code, what), file=sys.stderr, flush=True)
    return math.nan
