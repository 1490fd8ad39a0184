"""Resume a sweep: find it, restore its command line, and check that it still means the same."""

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from trainer.config.axes import sweep_axes
from trainer.config.command_line import parse
from trainer.config.keys import bare, is_of_hydra, key_of, unquoted, value_of, without
from trainer.config.launchers import GONE, is_of_launcher, kept_of_launcher
from trainer.errors import CheckpointError
from trainer.runs import index
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Ledger
from trainer.runs.resume import FREE_IN_SWEEP, ONCE, differences, values_of

NOT_HASHED = {"resume", "dry_run", *FREE_IN_SWEEP}


def resumed(flags: Namespace) -> tuple[Path | None, Namespace, dict[str, str]]:
    """Return the folder of the sweep to resume, its command line with the new overrides, and the changed keys.

    The changed keys map to their original override, since the leaderboard compares only what is swept. For a new sweep
    the folder is None.

    Raises:
        CheckpointError: there is no such sweep, or it was started with other values.
    """
    names = [unquoted(value_of(line)) for line in flags.overrides if key_of(line) == "resume"]
    if not names:
        return None, flags, {}
    name = names[-1]
    folder = index.find_sweep(name, key="resume")
    header = Ledger(folder).header()
    if not {"command", "samples"} <= header.keys():
        raise CheckpointError(f"{Ledger(folder).path}: does not say how the sweep was started; start a new one")
    if started_elsewhere(folder):
        print(f"started in {header.get('cwd')}; relative paths now refer to {os.getcwd()}", flush=True)
    started = parse(header["command"])
    started.config_dir = flags.config_dir or started.config_dir
    given = {key_of(line): bare(line) for line in without(flags.overrides, *ONCE)}
    kept = kept_of_launcher(started.overrides, flags.overrides)
    if GONE in started.overrides:
        print(f"{GONE} no longer exists; sweep.jobs=2 runs two jobs at a time", flush=True)
    before = {key_of(line): bare(line) for line in kept}
    for key, line in given.items():
        is_free = key in FREE_IN_SWEEP or is_of_launcher(line)
        if before.get(key) != line and (not is_free or _is_swept(line, before.get(key, line), started)):
            raise CheckpointError(f"resume={name}: {folder} was started without {line}; start a new sweep for it")
    merged = (before | given).items()  # in their original order, which numbers the jobs
    started.overrides = [line for key, line in merged if key in given or _may_be_recorded(line)]
    return folder, started, {key: before.get(key, "") for key, line in given.items() if before.get(key) != line}


def _may_be_recorded(line: str) -> bool:
    """Whether an override may come from a sweep's file; of Hydra's keys, only those of launchers and sweepers may."""
    return not is_of_hydra(line) or is_of_launcher(line) or key_of(line).startswith(("hydra/sweeper", "hydra.sweeper."))


def _is_swept(line: str, before: str, flags: Namespace) -> bool:
    return any(len(axis) > 1 for axis in sweep_axes([line, before], flags.config_dir))


def config_hash(cfg: DictConfig) -> str:
    """Hash every setting that affects results: two jobs with the same hash are the same job."""
    text = json.dumps({k: v for k, v in values_of(cfg).items() if k not in NOT_HASHED}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def started_elsewhere(folder: Path) -> bool:
    """Return whether relative paths mean something else now than when the sweep was started."""
    return Ledger(folder).header().get("cwd") != os.getcwd()


def check_unchanged(folder: Path, hashes: Mapping[str, str], configs: Mapping[str, DictConfig]) -> None:
    """Compare what a sweep's values mean now with what they meant when it was started.

    Raises:
        CheckpointError: it is not the same, and what it was.
    """
    known = Ledger(folder).header()["samples"]
    if len(known) != len(hashes):  # for example a glob() that matches another file now
        raise CheckpointError(
            f"resume={folder}: the sweep now has {len(hashes)} combinations to check; it had {len(known)}"
        )
    for (line, was), now, cfg in zip(known.items(), hashes.values(), configs.values(), strict=True):
        if was != now:
            raise CheckpointError(f"resume={folder}: {line} means something else now{_changes(folder, was, cfg)}")


def _changes(folder: Path, was: str, cfg: DictConfig) -> str:
    """Return what changed, if a job with the old config has started and recorded it."""
    for event in Ledger(folder).jobs().values():
        if event.get("hash") == was and RunFolder(folder / event["folder"]).config.is_file():
            return f": {'; '.join(differences(folder / event['folder'], cfg, NOT_HASHED).values())}"
    return ""
