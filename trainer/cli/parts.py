"""What commands that take the config of a run have in common: the config, what was chosen in it, a folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from trainer.cli.settings import Settings
from trainer.config.check import checked
from trainer.config.schema import SLOTS
from trainer.runs import folder as run_folder
from trainer.runs.index import ROOT


class Chosen(NamedTuple):
    """The config of a run, and the names of its parts, such as model -> resnet."""

    cfg: DictConfig
    names: dict[str, str]


def chosen(given: Settings) -> Chosen:
    """The config that the overrides of a command make.

    Raises:
        ConfigError: a key or a value that cannot be.
    """
    cfg, _ = checked(given.overrides, given.config_dir)
    return Chosen(cfg, {slot: str(cfg.hydra.runtime.choices[slot]) for slot in SLOTS})


def new_folder(command: str, names: dict[str, str]) -> Path:
    """A folder for what a command leaves, beside those of runs."""
    now = datetime.now()
    name = f"{now:%H-%M-%S}-{command}-{names['model']}-{names['data']}"
    return run_folder.create(ROOT / f"{now:%Y-%m-%d}" / name)
