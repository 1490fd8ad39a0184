"""Resume a sweep: find it, restore its command line, and check that it still means the same."""

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig

from trainer.config.axes import sweep_axes
from trainer.config.command_line import parse
from trainer.config.keys import SLOTS, bare, flat, is_of_hydra, key_of, literal, unquoted, value_of, without
from trainer.config.launchers import GONE, is_of_launcher, kept_of_launcher
from trainer.errors import CheckpointError, ConfigError
from trainer.runs import index
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Ledger
from trainer.runs.resume import FREE_IN_SWEEP, ONCE, changed_defaults, differences, has_default, values_of
from trainer.sweeps.folds import Jobs, checked_jobs

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


def config_hash(cfg: DictConfig, saved: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Hash every setting that affects results: two jobs with the same hash are the same job.

    Settings that only one of the config and what was `saved` has count where they do not have their default: with
    those that an older version saved, the hash is the one that it recorded.
    """
    values = values_of(cfg)
    if saved:
        values = {k: v for k, v in values.items() if k in saved or not has_default(cfg, k, v)}
        values |= {k: v for k, v in saved.items() if k not in values and has_default(cfg, k, v)}
    text = json.dumps({k: v for k, v in values.items() if k not in NOT_HASHED}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def started_elsewhere(folder: Path) -> bool:
    """Return whether relative paths mean something else now than when the sweep was started."""
    return Ledger(folder).header().get("cwd") != os.getcwd()


def as_started(folder: Path, flags: Namespace) -> tuple[Jobs, list[str]]:
    """Return the jobs of a sweep that resumes, and overrides among theirs that keep what it was started with.

    There are some if defaults of ours have changed since.

    Raises:
        CheckpointError: its values mean something else now, and what they meant.
    """
    known = Ledger(folder).header()["samples"]
    jobs = checked_jobs(flags)
    _, configs, overrides = jobs
    if len(known) != len(configs):  # for example a glob() that matches another file now
        raise CheckpointError(
            f"resume={folder}: the sweep now has {len(configs)} combinations to check; it had {len(known)}"
        )
    saved = _saved(folder, configs.values())
    changed = _changed(known, configs, saved)
    if changed is None:
        return jobs, []
    kept: dict[str, str] = {}
    for cfg, each in zip(configs.values(), saved, strict=True):
        for key, (was, _) in changed_defaults(cfg, each, {*map(key_of, overrides)}).items():
            kept[key] = f"{key}={literal(json.dumps(was))}"
    with suppress(ConfigError):  # a component without such a setting
        again = checked_jobs(Namespace(**vars(flags) | {"overrides": [*flags.overrides, *kept.values()]}))
        if _changed(known, again[1], saved) is None:
            return again, [*kept.values()]
    line, was = [*known.items()][changed]
    cfg = [*configs.values()][changed]
    raise CheckpointError(f"resume={folder}: {line} means something else now{_changes(folder, was, cfg)}")


def _changed(
    known: Mapping[str, str], configs: Mapping[str, DictConfig], saved: Iterable[Mapping[str, Any]]
) -> int | None:
    """Return the place of the first combination that means something else than when the sweep was started."""
    triples = enumerate(zip(known.values(), configs.values(), saved, strict=True))
    return next((n for n, (was, cfg, s) in triples if was not in (config_hash(cfg), config_hash(cfg, s))), None)


def _saved(folder: Path, configs: Iterable[DictConfig]) -> list[dict[str, Any]]:
    """Return the settings that the first jobs with the components of each config saved; its own, where none has."""
    now = [_by_part(values_of(cfg)) for cfg in configs]
    found: dict[str, dict[str, Any]] = {}
    for job in Ledger(folder).jobs().values():
        if {part for parts in now for part in parts} <= found.keys():
            break
        with suppress(CheckpointError):  # a job that has not started
            found = _by_part(flat(index.Run(folder / job["folder"]).config)) | found
    return [{k: v for part in parts for k, v in found.get(part, parts[part]).items()} for parts in now]


def _by_part(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Map the `_target_` of each component, and "" for the rest, to its settings."""
    parts: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        slot = key.partition(".")[0]
        parts.setdefault(str(values.get(f"{slot}._target_")) if slot in SLOTS else "", {})[key] = value
    return parts


def _changes(folder: Path, was: str, cfg: DictConfig) -> str:
    """Return what changed, if a job with the old config has started and recorded it."""
    for event in Ledger(folder).jobs().values():
        if event.get("hash") == was and RunFolder(folder / event["folder"]).config.is_file():
            return f": {'; '.join(differences(folder / event['folder'], cfg, NOT_HASHED).values())}"
    return ""
