"""Run one command line: start a run in a new folder, resume one, or try one and delete it."""

import shutil
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from trainer.config.command_line import again, checked_flags
from trainer.config.compose import run_config
from trainer.config.keys import key_of, merged, without
from trainer.config.schema import names_of
from trainer.errors import CheckpointError, ConfigError
from trainer.job import run_job
from trainer.runs import folder as run_folder
from trainer.runs import index, resume

FOLDER = "hydra.run.dir"


def start(flags: Namespace, command: list[str]) -> None:
    """Start a run in its own folder, or resume one. A dry run leaves no folder.

    Raises:
        DltrainError: an error that the user can fix.
    """
    cfg = checked_flags(flags)
    if cfg.resume is not None and (resumed := _to_resume(cfg)):
        _resume(resumed, flags, cfg.trust)
        return
    if cfg.dry_run:
        cfg.epochs = cfg.limit_batches = 1
        with TemporaryDirectory() as temporary:
            run_in(Path(temporary), cfg, command)
        print("dry run: one batch went through everything; no files were left")
        return
    is_named = FOLDER in map(key_of, flags.overrides)
    folder = (run_folder.claim if is_named else run_folder.create)(Path(cfg.hydra.run.dir))
    try:
        run_in(folder, cfg, command)
    except ConfigError:
        shutil.rmtree(folder)  # nothing ran: the folder is empty, and its name is free again
        raise


def run_in(folder: Path, cfg: DictConfig, command: list[str]) -> None:
    """Train in a folder, and record `command` there, the command line without `dltrain`."""
    with run_config(cfg, folder) as of_run:
        run_job(of_run, folder, names_of(cfg.hydra), ["dltrain", *command], composed=cfg)


def _to_resume(cfg: DictConfig) -> Path | None:
    """Return the run that `resume` names; `auto` may find none."""
    if cfg.dry_run:
        raise ConfigError("resume= and dry_run=true exclude each other; leave one out")
    if index.is_sweep(Path(str(cfg.resume))):
        raise ConfigError(f"{cfg.resume} is a sweep; resume it with dltrain -m resume={cfg.resume}")
    return resume.unfinished(cfg) if cfg.resume == "auto" else index.find(str(cfg.resume), key="resume")


def _resume(folder: Path, flags: Namespace, trust: bool) -> None:
    """Resume a run: its original settings plus the new overrides, where those may change."""
    started = resume.recorded(folder)
    started.config_dir = flags.config_dir or started.config_dir
    started.overrides = merged(started.overrides, without(flags.overrides, "resume", "trust", FOLDER))
    cfg = resume.restored(started, folder, trust)
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(
            f"{folder} cannot be resumed with other settings: {'; '.join(fixed)}; only {free} may change"
        )
    summary = index.Run(folder).summary
    if summary.get("status") == "finished" and not changed:
        print(f"{folder} has already finished; pass epochs={summary.get('epochs', 0) * 2} to train longer")
        return
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    run_in(folder, cfg, [*again(started), *started.overrides])
