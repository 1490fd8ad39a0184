"""Run one command line: start a run in a new folder, resume one, or try one and delete it."""

import gc
import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from trainer.cli.shorthand import spelled_out
from trainer.config.command_line import again, checked_flags, parse
from trainer.config.compose import run_config
from trainer.config.keys import key_of, key_values, merged, unquoted, without
from trainer.config.schema import names_of
from trainer.errors import CheckpointError, ConfigError
from trainer.job import run_job
from trainer.runs import folder as run_folder
from trainer.runs import index, resume

FOLDER = "hydra.run.dir"


def understood(arguments: Sequence[str]) -> tuple[Namespace, list[str], bool]:
    """Return the flags of a command line with the overrides spelled out, that command line, and whether it is another.

    Raises:
        ConfigError: an unknown flag.
        DataError: a path that does not exist.
    """
    flags = parse([*arguments])
    lines, flags.config_dir = spelled_out(flags.overrides, flags.config_dir)
    flags.overrides, is_shorthand = lines, lines != flags.overrides
    return flags, [*(["-m"] if flags.multirun else []), *again(flags), *lines], is_shorthand


def sweep(flags: Namespace, command: list[str]) -> Path | None:
    """Run or resume a sweep; see `trainer.sweeps.sweep`, which imports what single runs do without."""
    from trainer.sweeps.sweep import sweep

    gc.enable()  # this process lives as long as all jobs
    return sweep(Namespace(**vars(flags) | {"multirun": True}), command)


def start(flags: Namespace, command: list[str]) -> Path | None:
    """Start a run in its own folder, or resume one, and return the folder; a dry run leaves none. Folds are a sweep.

    Raises:
        DltrainError: an error that the user can fix.
    """
    given = key_values(flags.overrides)
    asked = unquoted(given.get("resume", "null"))
    if asked not in ("null", "auto"):  # its keys are those of the run, whose components this line need not name
        return _resume(asked, flags, given.get("trust", "").lower() == "true")
    cfg = checked_flags(flags)
    if cfg.folds > 1 and not cfg.fold:
        return sweep(flags, ["-m", *command])
    if cfg.resume and (found := resume.unfinished(cfg) if cfg.resume == "auto" else cfg.resume):
        return _resume(str(found), flags, cfg.trust)
    if cfg.dry_run:
        cfg.epochs, cfg.limit_batches, cfg.baselines = 1, 1, "off"
        with TemporaryDirectory() as temporary:
            run_in(Path(temporary), cfg, command)
        print("dry run: one batch went through everything; no files left behind")
        return None
    is_named = FOLDER in map(key_of, flags.overrides)
    folder = (run_folder.claim if is_named else run_folder.create)(Path(cfg.hydra.run.dir))
    try:
        run_in(folder, cfg, command)
    except ConfigError:
        shutil.rmtree(folder)  # nothing ran: the folder is empty, and its name is free again
        raise
    return folder


def run_in(folder: Path, cfg: DictConfig, command: list[str]) -> None:
    """Train in a folder, and record `command` there, the command line without `dltrain`."""
    with run_config(cfg, folder) as of_run:
        run_job(of_run, folder, names_of(cfg.hydra), ["dltrain", *command], composed=cfg)


def _resume(name: str, flags: Namespace, trust: bool) -> Path | None:
    """Resume a run and return its folder: its original settings plus the new overrides, where those may change."""
    if index.is_sweep(Path(name)):
        return sweep(flags, ["-m", *again(flags), *flags.overrides])
    folder = index.find(name, key="resume")
    run, started = index.Run(folder), resume.recorded(folder)
    started.config_dir = flags.config_dir or started.config_dir
    started.overrides = merged(started.overrides, without(flags.overrides, "resume", "trust", FOLDER))
    with resume.from_elsewhere(run):
        cfg = resume.restored(started, folder, trust)
    for line in resume.keep_defaults(cfg, run, {*map(key_of, started.overrides)}):
        print(f"kept     {line}")
    if cfg.dry_run:
        raise ConfigError("resume= and dry_run=true exclude each other; leave one out")
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(
            f"{folder} cannot be resumed with other settings: {'; '.join(fixed)}; only {free} may change"
        )
    if run.summary.get("status") == "finished" and not changed:
        print(f"{folder} has already finished; pass epochs={run.summary.get('epochs', 0) * 2} to train longer")
        return folder
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    with resume.from_elsewhere(run):
        run_in(folder, cfg, [*again(started), *started.overrides])
    return folder
