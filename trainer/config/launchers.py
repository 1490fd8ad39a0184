"""Decide which of Hydra's launchers may run a sweep's jobs and what may be set: see the presets in conf/hydra/launcher.

A launcher can run shell commands or hand them to a cluster's scheduler. Only the command line may set those; a yaml,
which may be somebody else's, may set plain values alone.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from trainer.config.keys import flat, key_of, value_of
from trainer.config.schema import CONF
from trainer.errors import ConfigError

FOLDER = CONF / "hydra" / "launcher"
SPOKEN = ("setup", "ray.init.address")  # they name code to run, or an address to load it from
GONE = "hydra/launcher=joblib"  # in sweeps of 0.1.0; sweep.jobs has taken its place
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"  # one job at a time


def use_presets() -> None:
    """Let the presets replace the launchers' own configs of the same names: Hydra warns of duplicates."""
    Plugins.instance()  # loads the plugins, which store their configs
    for file in FOLDER.glob("*.yaml"):
        ConfigStore.instance().repo["hydra"]["launcher"].pop(file.name, None)


def check_launcher(launcher: Any, overrides: Sequence[str]) -> None:
    """Refuse a launcher that is unavailable, or that a yaml could make run code.

    Raises:
        ConfigError: it has no preset, is not installed, or a yaml sets what only the command line may.
    """
    target = str(launcher.get("_target_") if isinstance(launcher, dict) else launcher)
    if target == BASIC:
        return
    targets = {preset["_target_"]: (name, preset) for name, preset in _presets().items()}
    if target not in targets:
        raise ConfigError(
            f"hydra.launcher: {target} has no preset; choose from {', '.join(_presets())}; "
            "on this machine, sweep.jobs=2 runs two jobs at a time"
        )
    name, preset = targets[target]
    if not _is_installed(target):
        plugin = target.split(".")[1].replace("_", "-")
        raise ConfigError(f"hydra/launcher={name} needs a Hydra plugin; pip install {plugin}")
    shipped, given = flat(preset), {key_of(line) for line in overrides}
    for key, value in flat(launcher).items():
        path = f"hydra.launcher.{key}"
        if key in shipped and value == shipped[key]:
            continue
        if "${" in str(value) or "_target_" in f"{key}={value}":
            raise ConfigError(f"{path}={value}: _target_ and ${{...}} are not allowed there")
        is_plain = key in shipped and key not in SPOKEN and str(value).isprintable()
        if not is_plain and not any(f"{path}.".startswith(f"{line}.") for line in given):
            raise ConfigError(f"{path}={value}: only the command line may set this, not a yaml")


def is_of_launcher(line: str) -> bool:
    """Whether an override configures the launcher."""
    return key_of(line).startswith(("hydra/launcher", "hydra.launcher"))


def kept_of_launcher(original: list[str], given: list[str]) -> list[str]:
    """Return the overrides that a sweep was started with, less those of its launcher if it is replaced or gone.

    Raises:
        ConfigError: an override from the sweep's file that could make the launcher run code.
    """
    if GONE in original or any(key_of(line) == "hydra/launcher" for line in given):
        return [line for line in original if not is_of_launcher(line)]
    keys = {f"hydra.launcher.{key}" for preset in _presets().values() for key in flat(preset) if key not in SPOKEN}
    for line in filter(is_of_launcher, original):
        is_known = key_of(line) in {*keys, "hydra/launcher"}
        if not (is_known and re.fullmatch(r"[\w./:-]*", value_of(line))) and line not in given:
            raise ConfigError(f"{line}: only the command line may set this; give it again, or another hydra/launcher=")
    return original


@cache
def _presets() -> dict[str, dict[str, Any]]:
    files = sorted(FOLDER.glob("*.yaml"))
    return {file.stem: OmegaConf.to_container(OmegaConf.load(file), resolve=False) for file in files}  # type: ignore[misc]


def _is_installed(target: str) -> bool:
    try:
        return find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
