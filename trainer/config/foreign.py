"""Check what a yaml, perhaps somebody else's, does besides setting keys of a run: to Hydra's node, and by its size."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from trainer.config.keys import flat, key_of
from trainer.config.launchers import check_launcher
from trainer.config.schema import CONF
from trainer.errors import ConfigError

FIXED: dict[str, Any] = {  # keys of Hydra's node -> the only value allowed
    "callbacks": {},
    "searchpath": [],
    "mode": None,
    "job.chdir": None,
    "job.env_set": {},
    "job.env_copy": [],
    "output_subdir": ".hydra",
    "verbose": False,
    "job_logging": CONF / "hydra" / "job_logging" / "train_log.yaml",
    "hydra_logging": Path(hydra.__file__).parent / "conf" / "hydra" / "hydra_logging" / "default.yaml",
}
LONGEST, MOST_TEXT = 1_000, 1_000_000  # characters: of what is not known, and of a text with all that it refers to


def check_yaml(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Check a composed config, of which `overrides` come from the command line and the rest from yamls.

    Raises:
        ConfigError: something that only the command line may set, or nothing may; or text that stands for too much.
    """
    _check_hydra(cfg.hydra)
    _check_folders(cfg.hydra, overrides)
    check_launcher(_raw(cfg.hydra.launcher), overrides)
    _check_size(cfg)


def _check_hydra(node: DictConfig) -> None:
    """Refuse whatever a yaml could have Hydra call, write or set; the sweeper may be chosen."""
    for path, allowed in _fixed().items():
        if _raw(OmegaConf.select(node, path)) != allowed:
            raise ConfigError(f"hydra.{path} cannot be overridden")
    sweeper = _raw(node.get("sweeper"))
    target = sweeper.pop("_target_", None) if isinstance(sweeper, dict) else sweeper
    if target and not str(target).startswith(("hydra._internal.core_plugins.", "hydra_plugins.")):
        raise ConfigError(f"hydra.sweeper: {target} is not one of Hydra's sweepers")
    for key, value in flat(sweeper, "hydra.sweeper").items():
        if any(word in f"{key}={value}" for word in ("_target_", "()", "${")):
            raise ConfigError(f"{key}={value}: _target_, () and ${{...}} are not allowed there")


def _check_folders(node: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a folder outside the working folder, unless the command line names it: a yaml may be somebody else's."""
    given = [key_of(line) for line in overrides]
    subdir = str(_raw(node.sweep)["subdir"])
    if not (subdir.isdecimal() or subdir == "${hydra.job.num}"):
        raise ConfigError("hydra.sweep.subdir: job folders are numbered; hydra.sweep.dir=... names the sweep's")
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        if any(f"{key}.".startswith(f"{line}.") for line in given):
            continue
        folder = Path(str(OmegaConf.select(node, key.removeprefix("hydra."))))
        if folder.is_absolute() or ".." in folder.parts:
            raise ConfigError(f"{key}={folder}: only the command line may name a folder outside the working folder")


def _check_size(cfg: DictConfig) -> None:
    """Raise ConfigError if some text refers to texts that refer to others, until there is too much of it."""
    texts = {key: str(value) for key, value in flat(_raw(cfg)).items()}
    sizes: dict[str, int] = {}

    def size(key: str) -> int:
        if key not in texts:  # a node, or something of the environment
            return LONGEST
        if key not in sizes:
            sizes[key] = len(texts[key])  # in case it refers to itself, which OmegaConf reports
            parts = [_referred(key, name) for name in re.findall(r"\$\{([^${}]*)\}", texts[key])]
            sizes[key] = min(len(texts[key]) + sum(map(size, parts)), MOST_TEXT + 1)
        return sizes[key]

    for key in texts:
        if size(key) > MOST_TEXT:
            raise ConfigError(f"{key}={texts[key][:40]}...: expands to more than {MOST_TEXT:,} characters")


def _referred(key: str, name: str) -> str:
    """Return the key that `${name}` in the value of a key stands for; a leading dot is the node that holds the key."""
    num_dots = len(name) - len(name.lstrip("."))
    return ".".join([*key.split(".")[:-num_dots], name.lstrip(".")]) if num_dots else name


@cache
def _fixed() -> dict[str, Any]:
    return {path: _raw(OmegaConf.load(value)) if isinstance(value, Path) else value for path, value in FIXED.items()}


def _raw(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
