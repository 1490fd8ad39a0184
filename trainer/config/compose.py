"""Hydra, asked for configs: where it looks for them, what it reads in overrides, and what it says in one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir, main
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trainer.config.launchers import use_presets
from trainer.config.schema import CONF, KNOBS, SLOTS, groups
from trainer.errors import ConfigError, nearest

KEYS = (*KNOBS, *SLOTS)


def is_of_hydra(line: str) -> bool:
    """Whether an override is of how jobs are run, and not of a job."""
    return line.lstrip("+~").startswith(("hydra.", "hydra/"))


@contextmanager
def hydra(config_dir: str | None) -> Iterator[None]:
    """Hydra, with the folders that configs are looked for in.

    Raises:
        ConfigError: no such folder, or one whose files hide those that came along.
    """
    own = Path(config_dir or CONF).absolute()
    if not own.is_dir():
        raise ConfigError(f"--config-dir {config_dir}: no such folder ({own})")
    if own.resolve() != CONF.resolve():
        for file in (own / group / f"{name}.yaml" for group, options in groups().items() for name in options):
            if file.exists():
                raise ConfigError(f"{file}: {file.parent.name}={file.stem} came along; give yours another name")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        use_presets()
        if config_dir:
            search_path = loader().get_search_path()
            search_path.prepend("command-line", f"file://{own}", SearchPathQuery(provider="schema"))
            GlobalHydra.instance().hydra.config_loader = ConfigLoaderImpl(search_path)  # type: ignore[union-attr]
        yield


def loader() -> ConfigLoader:
    """Of the Hydra that is there, within `hydra`."""
    return GlobalHydra.instance().config_loader()


def parse_all(overrides: list[str]) -> list[Override]:
    """What Hydra reads in them, within `hydra`.

    Raises:
        ConfigError: one that is no key=value, or cannot be read.
    """
    for line in overrides:
        if "=" not in line and not line.startswith("~"):
            meant = [f"{group}={line}" for group, options in groups().items() if line in options]
            raise ConfigError(f"{line!r} is no key=value{f'; did you mean {meant[0]}?' if meant else ''}")
    parser = OverridesParser.create(loader())
    for line in overrides:
        try:
            parser.parse_override(line)
        except HydraException as error:
            key = line.split("=", 1)[0]
            raise ConfigError(f"{line}: cannot be read; quote the value, as in \"{key}='...'\"") from error
    return parser.parse_overrides(overrides)


def compose_one(config_name: str, overrides: list[str]) -> DictConfig:
    """A config, within `hydra`.

    Raises:
        ConfigError: what does not go together.
    """
    try:
        return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    """What Hydra says in several lines, without its advice to add a `+`, and with the nearest name to a wrong one."""
    unknown = re.search(r"Key '(\w+)' not in 'Config'", f"{error} {error.__cause__}")
    if unknown:
        place = re.search(r"In '(.+?)'", str(error))
        return f"unknown key {unknown[1]}{f' in {place[1]}.yaml' if place else ''}; {nearest(unknown[1], KEYS)}"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip() and "object_type" not in line]
    return "; ".join(line for line in lines if not line.startswith(("To append", "Set the environment")))


def launch(arguments: list[str], job: Callable[[DictConfig], Any]) -> None:
    """Have Hydra make a config, or those of a sweep, and call the function with each, in the folder of its run."""
    sys.argv[1:] = arguments
    main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
