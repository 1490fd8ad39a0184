"""Which of Hydra's launchers may run a sweep's jobs, and what may be set of them: the presets in conf/hydra/launcher.

A launcher may run lines of shell, and hands others on to the scheduler of a cluster. So only the command line, and no
yaml of somebody else, says anything there but plain values.
"""

from __future__ import annotations

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
SPOKEN = ("setup", "ray.init.address")  # run what they say, or what comes back from there
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"  # one job after the other


def use_presets() -> None:
    """Have the presets stand for the launchers: the plugins store configs of the same names, and Hydra warns of two."""
    Plugins.instance()  # has them store theirs
    for file in FOLDER.glob("*.yaml"):
        ConfigStore.instance().repo["hydra"]["launcher"].pop(file.name, None)


def check_launcher(launcher: Any, overrides: Sequence[str]) -> None:
    """Refuse a launcher that is not there, or may do what nobody has asked for.

    Raises:
        ConfigError: it has no preset, is not installed, or a yaml sets in it what only the command line may.
    """
    target = str(launcher.get("_target_") if isinstance(launcher, dict) else launcher)
    if target == BASIC:
        return
    targets = {preset["_target_"]: (name, preset) for name, preset in _presets().items()}
    if target not in targets:
        raise ConfigError(
            f"hydra.launcher: {target} is no launcher of Hydra's that has a preset: {', '.join(_presets())}; "
            "on this machine, sweep.jobs=2 runs two jobs at a time"
        )
    name, preset = targets[target]
    if not _is_installed(target):
        plugin = target.split(".")[1].replace("_", "-")
        raise ConfigError(f"hydra/launcher={name} needs a plugin of Hydra's: pip install {plugin}")
    shipped, given = flat(preset), {key_of(line) for line in overrides}
    for key, value in flat(launcher).items():
        path = f"hydra.launcher.{key}"
        if key in shipped and value == shipped[key]:
            continue
        if "${" in str(value) or "_target_" in f"{key}={value}":
            raise ConfigError(f"{path}={value}: nothing is instantiated there")
        is_plain = key in shipped and key not in SPOKEN and str(value).isprintable()
        if not is_plain and not any(f"{path}.".startswith(f"{line}.") for line in given):
            raise ConfigError(f"{path}={value}: only the command line may set this, no yaml")


def is_of_launcher(line: str) -> bool:
    """Whether an override says how jobs are run, and not what they are."""
    return key_of(line).startswith(("hydra/launcher", "hydra.launcher"))


def kept_of_launcher(began: list[str], given: list[str]) -> list[str]:
    """The overrides that a sweep was begun with, less those of its launcher where another is given now.

    Raises:
        ConfigError: a file, as that of a sweep is, may not say what is run by a launcher.
    """
    if any(key_of(line) == "hydra/launcher" for line in given):
        return [line for line in began if not is_of_launcher(line)]
    keys = {f"hydra.launcher.{key}" for preset in _presets().values() for key in flat(preset) if key not in SPOKEN}
    for line in filter(is_of_launcher, began):
        is_known = key_of(line) in {*keys, "hydra/launcher"}
        if not (is_known and re.fullmatch(r"[\w./:-]*", value_of(line))) and line not in given:
            raise ConfigError(f"{line}: only the command line may set this: give it again, or another hydra/launcher=")
    return began


@cache
def _presets() -> dict[str, dict[str, Any]]:
    files = sorted(FOLDER.glob("*.yaml"))
    return {file.stem: OmegaConf.to_container(OmegaConf.load(file), resolve=False) for file in files}  # type: ignore[misc]


def _is_installed(target: str) -> bool:
    try:
        return find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
