"""Resume a run: which one, its command line, and what may change. Nothing here imports torch."""

import inspect
import re
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainer.config.command_line import checked_flags, parse
from trainer.config.keys import PATHS, SLOTS, flat, is_of_hydra, key_of, literals
from trainer.config.schema import KNOBS
from trainer.config.user_modules import chosen_by
from trainer.errors import CheckpointError, ConfigError, DataError
from trainer.runs.index import ROOT, Run, every, started
from trainer.runs.trust import stranger

FREE = {  # keys that may change on resume: how long a run trains and what it reports, not what it computes
    "epochs",
    "max_steps",
    "max_minutes",
    "patience",
    "log_every",
    "device",
    "compile",
    *PATHS,  # `check_data` compares the data
    "data.workers",
    "checkpoint.every_minutes",
    "checkpoint.every_steps",
    "checkpoint.min_seconds",
    "checkpoint.keep",
    "plots",
    "baselines",
    "tensorboard",
    "sweep.fail_fast",
    "sweep.jobs",
    "sweep.retry",
    "changed_data",
    "trust",
}
ONCE = ("resume", "trust", "changed_data")  # keys that count for one start, and not for the next
# The jobs of a sweep are compared with each other, so that their length may not change; a search may get more jobs.
FREE_IN_SWEEP = FREE - {*PATHS[1:], "epochs", "max_steps", "max_minutes", "patience"} | {"hydra.sweeper.n_trials"}


def unfinished(cfg: DictConfig, root: Path = ROOT) -> Path | None:
    """Return the last unfinished run with this config, if any."""
    for run in reversed(started(every(root))):
        with suppress(CheckpointError):  # a run that cannot be read is not a match
            if run.summary.get("status") != "finished" and not differences(run.folder, cfg, FREE - {*PATHS[1:]}):
                return run.folder
    return None


def recorded(folder: Path) -> Namespace:
    """Return the flags with which a run was last started or resumed, and the overrides of the run itself.

    What configures Hydra, such as launchers and folders, is never taken from a run's folder.

    Raises:
        CheckpointError: the folder does not record them.
        ConfigError: a flag that is not supported.
    """
    run = Run(folder)
    command = run.latest.get("command")
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise CheckpointError(f"{run.files.environment}: does not record the run's command; start a new run")
    flags = parse(command[1:])
    own = [line for line in flags.overrides if not is_of_hydra(line) and key_of(line) not in ONCE]
    overrides = list({key_of(line): line for line in own}.values())  # the last one of each key
    where = {"config_dir": flags.config_dir, "config_name": flags.config_name}
    return Namespace(**vars(parse([])) | where | {"overrides": overrides})


@contextmanager
def from_elsewhere(run: Run) -> Iterator[None]:
    """Add to an error where the run was started, if that was in another folder."""
    try:
        yield
    except (ConfigError, DataError) as error:
        folder = run.latest.get("folder")
        if folder in (None, str(Path.cwd())):
            raise
        where = f"the run was started in {folder}, where its relative paths and modules are: cd there"
        raise type(error)(f"{error}; {where}") from error


def restored(settings: Namespace, folder: Path, trust: bool) -> DictConfig:
    """Return the config that a run's recorded settings describe; with `trust` it may name any module.

    Raises:
        CheckpointError: a stranger's run names a module of the working folder.
        ConfigError: an unknown key or an invalid value.
    """
    overrides = [*settings.overrides, *(["trust=true"] if trust else [])]
    with chosen_by(None if trust else stranger(folder)):
        cfg = checked_flags(Namespace(**vars(settings) | {"overrides": overrides}))
    cfg.trust = False  # it counts for one start
    return cfg


def check_data(folder: Path, found: Mapping[str, str], changed_data: str) -> None:
    """Compare the fingerprints of a run's splits with those of its last start, unless `changed_data` is `use`.

    Raises:
        DataError: some differ.
    """
    known = Run(folder).latest.get("data", {})
    differ = [split for split in found if split in known and known[split] != found[split]]
    if differ and changed_data == "refuse":
        raise DataError(
            f"the data of the run in {folder.absolute()} has changed (splits: {', '.join(differ)}), so its test rows "
            "may be rows it has trained on; restore the data, or pass changed_data=use to train on it as it is now"
        )


def keep_defaults(cfg: DictConfig, run: Run, chosen: Collection[str]) -> list[str]:
    """Give our own components the values that the run has, where defaults have changed since; return what was kept."""
    kept = []
    for key, (was, now) in changed_defaults(cfg, flat(run.config), chosen).items():
        OmegaConf.update(cfg, key, literals(was))
        kept.append(f"{key}={was}, the run's own; the default is now {now}")
    return kept


def changed_defaults(cfg: DictConfig, saved: Mapping[str, Any], chosen: Collection[str]) -> dict[str, tuple[Any, Any]]:
    """Return the arguments of our own components, but those `chosen`, whose value differs from what was saved: both.

    One that was not saved, because an older version did so, had the component's own default, which does nothing.
    """
    found = {}
    for key, now in values_of(cfg).items():
        if key not in chosen and _is_ours(cfg, key):
            slot, _, name = key.partition(".")
            was = saved.get(key, now)
            if key not in saved and saved.get(f"{slot}._target_") == cfg[slot]["_target_"]:
                was = _default_of(cfg, slot, name, now)
            if was != now:
                found[key] = was, now
    return found


def _default_of(cfg: DictConfig, slot: str, name: str, otherwise: Any) -> Any:
    """Return the default of an argument of a component, `otherwise` if it has none."""
    from trainer.config.targets import default_of  # imports torch

    default = default_of(slot, cfg[slot]["_target_"], name)
    return otherwise if default is inspect.Parameter.empty else default


def has_default(cfg: DictConfig, key: str, value: Any) -> bool:
    """Return whether a knob, or an argument of a component of ours, that a config may lack does nothing by this value.

    It does nothing if it is the default of the schema, or of the component itself.
    """
    if key in KNOBS:
        return bool(value == KNOBS[key].default)
    slot, _, name = key.partition(".")
    return _is_ours(cfg, key) and bool(value == _default_of(cfg, slot, name, inspect.Parameter.empty))


def _is_ours(cfg: DictConfig, key: str) -> bool:
    """Whether a key sets an argument of a component of ours."""
    slot, _, name = key.partition(".")
    return slot in SLOTS and not name.startswith("_") and str(cfg[slot].get("_target_")).startswith("trainer.")


def about_f1(f1: str, cfg: DictConfig) -> list[str]:
    """Return a line to print if a config names `f1`, and what it stood for when the run started is called `f1` now."""
    is_named = re.search(r"\bf1\b", f"{cfg.monitor} {cfg.metrics}")
    return [f"f1 stands for {f1}, as in the older version that started this"] if is_named and f1 != "f1" else []


def differences(folder: Path, cfg: DictConfig, but: Collection[str] = ()) -> dict[str, str]:
    """Return key -> `key: saved -> now` for each difference between a run's config, read as plain data, and `cfg`.

    A knob, or an argument of a component of ours, that one of the two lacks, because another version wrote it, has its
    default.

    Raises:
        CheckpointError: the config of the run cannot be read.
    """
    now = values_of(cfg)
    saved = {name: knob.default for name, knob in KNOBS.items()} | {k: v for k, v in now.items() if _is_ours(cfg, k)}
    saved |= flat(Run(folder).config)
    keys = [key for key in {**saved, **now} if key not in ("resume", "changed_data", *but)]
    differ = [key for key in keys if saved.get(key) != now.get(key)]
    differ = [key for key in differ if key in now or not has_default(cfg, key, saved[key])]
    return {key: f"{key}: {saved.get(key)} -> {now.get(key)}" for key in differ}


def values_of(cfg: DictConfig) -> dict[str, Any]:
    """Map each dotted key of a config, except Hydra's, to its value."""
    return flat(OmegaConf.to_container(OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"]), resolve=True))
