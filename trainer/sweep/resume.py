"""Going on with a sweep: which, the command line that began it, and whether it means what it meant then."""

from __future__ import annotations

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from trainer.config.axes import sweep_axes
from trainer.config.command_line import parse
from trainer.config.keys import bare, key_of, value_of, without
from trainer.config.launchers import is_of_launcher, kept_of_launcher
from trainer.errors import CheckpointError
from trainer.runs import index
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Ledger
from trainer.runs.resume import FREE_IN_SWEEP, differences, values_of

NOT_HASHED = {"resume", "dry_run", *FREE_IN_SWEEP}


def resumed(flags: Namespace) -> tuple[Path | None, Namespace, dict[str, str]]:
    """The folder of a sweep to go on with, and the command line that began it, with what may change as it is now.

    And the keys that have changed, with what they were: the leaderboard is to compare nothing but what is swept. Of a
    sweep that begins there is no folder.

    Raises:
        CheckpointError: there is none, or it was another sweep.
    """
    names = [value_of(line).strip("'\"") for line in flags.overrides if key_of(line) == "resume"]
    if not names:
        return None, flags, {}
    name = names[-1]
    folder = index.find_sweep(name, key="resume")
    header = Ledger(folder).header()
    if not {"command", "samples"} <= header.keys():
        raise CheckpointError(f"{Ledger(folder).path}: does not say how the sweep was begun; start a new one")
    if began_elsewhere(folder):
        print(f"begun in {header.get('cwd')}; relative paths are looked for in {os.getcwd()} now", flush=True)
    began = parse(header["command"])
    began.config_dir = flags.config_dir or began.config_dir
    given = {key_of(line): bare(line) for line in without(flags.overrides, "resume")}
    kept = kept_of_launcher(began.overrides, flags.overrides)
    before = {key_of(line): bare(line) for line in kept}
    for key, line in given.items():
        is_free = key in FREE_IN_SWEEP or is_of_launcher(line)
        if before.get(key) != line and (not is_free or _is_swept(line, before.get(key, line), began)):
            raise CheckpointError(f"resume={name}: {line} is not how {folder} was begun; a new sweep may have it")
    began.overrides = list((before | given).values())  # each in its place: the order is that of the jobs
    return folder, began, {key: before.get(key, "") for key, line in given.items() if before.get(key) != line}


def _is_swept(line: str, before: str, flags: Namespace) -> bool:
    return any(len(axis) > 1 for axis in sweep_axes([line, before], flags.config_dir))


def config_hash(cfg: DictConfig) -> str:
    """Hash every setting that affects results: two jobs with the same hash are the same job."""
    text = json.dumps({k: v for k, v in values_of(cfg).items() if k not in NOT_HASHED}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def began_elsewhere(folder: Path) -> bool:
    """Whether paths without a beginning mean something else now than when the sweep was begun."""
    return Ledger(folder).header().get("cwd") != os.getcwd()


def check_unchanged(folder: Path, hashes: Mapping[str, str], configs: Mapping[str, DictConfig]) -> None:
    """Compare what the values of a sweep stand for with what they did when it was begun.

    Raises:
        CheckpointError: it is not the same, and what it was.
    """
    known = Ledger(folder).header()["samples"]
    if len(known) != len(hashes):  # such as a glob() that finds another file now
        raise CheckpointError(f"resume={folder}: the sweep has {len(hashes)} values to check now, and had {len(known)}")
    for (line, was), now, cfg in zip(known.items(), hashes.values(), configs.values(), strict=True):
        if was != now:
            raise CheckpointError(f"resume={folder}: what {line} stands for has changed{_changes(folder, was, cfg)}")


def _changes(folder: Path, was: str, cfg: DictConfig) -> str:
    """What is different now, where a job of the config that was has begun and so says what that is."""
    for event in Ledger(folder).jobs().values():
        if event["hash"] == was and RunFolder(folder / event["folder"]).config.is_file():
            return f": {'; '.join(differences(folder / event['folder'], cfg, NOT_HASHED).values())}"
    return ""
