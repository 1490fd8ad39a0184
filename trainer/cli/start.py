"""From a command line to one run: begun in a folder of its own, gone on with, or tried and thrown away."""

from __future__ import annotations

import math
import shutil
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trainer.config.command_line import again, checked_flags, parse, quoted, without
from trainer.config.compose import launch
from trainer.config.schema import SLOTS
from trainer.errors import CheckpointError, ConfigError, DltrainError
from trainer.job import run_job
from trainer.runs import folder as run_folder
from trainer.runs import index, resume

FOLDER = "hydra.run.dir"


def start(flags: Namespace, command: list[str]) -> None:
    """One run in a folder of its own; a dry run's does not outlive it."""
    cfg, overrides = checked_flags(flags)
    if cfg.resume is not None:
        if cfg.dry_run:
            raise ConfigError("resume goes on with one run; leave out dry_run")
        if (Path(str(cfg.resume)) / "sweep.jsonl").is_file():
            raise ConfigError(f"{cfg.resume} is a sweep; dltrain -m resume={cfg.resume} goes on with it")
        if began := resume.unfinished(cfg) if cfg.resume == "auto" else index.find(str(cfg.resume), key="resume"):
            _go_on(flags, began)
            return
    arguments, is_named = without(flags, overrides, FOLDER)
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            _train([*arguments, "epochs=1", "limit_batches=1", f"{FOLDER}={quoted(temporary)}"], command)
        print("dry run: one batch went through everything; no file was left")
        return
    folder = (run_folder.claim if is_named else run_folder.create)(Path(OmegaConf.select(cfg, FOLDER)))
    try:
        _train([*arguments, f"{FOLDER}={quoted(str(folder))}"], command)
    except ConfigError:
        shutil.rmtree(folder)  # nothing was run: there is nothing to find in it, and the name is free again
        raise


def _go_on(flags: Namespace, folder: Path) -> None:
    """Go on with a run: its own command line, and behind it what is given now, as far as that may change."""
    command = resume.command_of(folder)
    began = parse(command)
    began.config_dir = flags.config_dir or began.config_dir
    began.overrides = resume.merged(began.overrides, flags.overrides)
    cfg, overrides = checked_flags(began)
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(f"{folder} cannot go on as another run: {'; '.join(fixed)}; only {free} may change")
    summary = run_folder.read_json(folder / "summary.json")
    if summary.get("status") == "finished" and not changed:
        print(f"{folder} has finished: nothing is left to do; epochs={summary.get('epochs', 0) * 2} would go on")
        return
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    arguments = [*again(began, "config_dir", "config_name"), *overrides, f"{FOLDER}={quoted(str(folder))}"]
    _train(arguments, [*command, *flags.overrides])


def _train(arguments: list[str], command: list[str]) -> None:
    """Have Hydra make the config, and train. A failure is kept meanwhile: Hydra would print its own lines about it."""
    failures: list[DltrainError] = []

    def job(cfg: DictConfig) -> float:
        settings = HydraConfig.get()
        names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
        try:
            return run_job(cfg, Path(settings.runtime.output_dir), names, ["dltrain", *command])
        except DltrainError as error:
            failures.append(error)
            return math.nan

    launch(arguments, job)
    if failures:
        raise failures[0]
