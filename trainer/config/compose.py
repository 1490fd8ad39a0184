"""Compose configs with Hydra: where it looks for them, how it reads overrides, and its errors in one line."""

import copy
import io
import os
import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir, version
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trainer.config.keys import AS_TYPED, SLOTS, VERBATIM, literal, parse_line, quoted, unquoted
from trainer.config.launchers import use_presets
from trainer.config.schema import CONF, KNOBS, Config, groups
from trainer.errors import ConfigError, nearest
from trainer.files import read, read_yaml

KEYS = (*KNOBS, *SLOTS)
VERSION = "1.3"  # of Hydra's behaviour
BYTES, VALUES = 2**18, 2000  # at most, in a yaml of the user's; Hydra and OmegaConf take a millisecond for each value
MISREAD = (
    AssertionError,
    AttributeError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)  # by Hydra, of what it does not expect
ConfigStore.instance().store("schema", Config)


class _Files(FileConfigSource):
    """Folders of configs, whose files are checked before Hydra reads them; the built-in ones need no check."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a config.

        Raises:
            ConfigError: it cannot be read, is no mapping, or stands for too much.
        """
        file = Path(self.path, self._normalize_file_name(config_path))
        if CONF not in file.parents:
            try:
                content = read_yaml(file, BYTES, VALUES)
            except (OSError, ValueError) as error:
                raise ConfigError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
            if not isinstance(content, (dict, type(None))):
                raise ConfigError(f"{file}: expected keys and values, got {str(content)[:40]}")
            if file.parent.name == "experiment" and b"@package" not in read(file, BYTES):
                raise ConfigError(f"{file}: its first line must be # @package _global_, because it sets whole configs")
        return super().load_config(config_path)


@contextmanager
def _checked_files() -> Iterator[None]:
    """Have Hydra read files by `_Files` for now: launchers hand its registry to workers, which refuse a changed one."""
    Plugins.instance()  # registers Hydra's own source
    types = SourcesRegistry.instance().types
    before, types["file"] = types["file"], _Files
    try:
        yield
    finally:
        types["file"] = before


@contextmanager
def open_hydra(config_dir: str | None) -> Iterator[None]:
    """Have Hydra look for configs in our folder and in `config_dir`.

    Raises:
        ConfigError: no such folder, or one with a file that would shadow a built-in option.
    """
    own = Path(config_dir or CONF).absolute()
    if not own.is_dir():
        raise ConfigError(f"--config-dir {config_dir}: no such folder ({own})")
    if own.resolve() != CONF.resolve():
        for file in (own / group / f"{name}.yaml" for group, options in groups().items() for name in options):
            if file.exists():
                raise ConfigError(f"{file} would shadow the built-in {file.parent.name}={file.stem}; rename it")
    hydra_now, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # of a program that calls this one
    try:
        with _checked_files():
            opened = initialize_config_dir(str(CONF), job_name="dltrain", version_base=VERSION)
        with opened:
            use_presets()
            if config_dir:
                search_path = loader().get_search_path()
                search_path.prepend("command-line", f"file://{own}", SearchPathQuery(provider="schema"))
                with _checked_files():
                    GlobalHydra.instance().hydra.config_loader = ConfigLoaderImpl(search_path)  # type: ignore[union-attr]
            yield
    finally:
        GlobalHydra.instance().hydra = hydra_now


def loader() -> ConfigLoaderImpl:
    """Return the config loader of the open Hydra."""
    return GlobalHydra.instance().config_loader()  # type: ignore[return-value]


def parse_all(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides with the open Hydra.

    Raises:
        ConfigError: an override that is not key=value, or has invalid syntax.
    """
    parser, found = OverridesParser.create(loader()), []
    for line in overrides:
        prefix, key, value = parse_line(line)
        if key == "resume" and value and value != "null":
            line = f"{prefix}{key}={quoted(unquoted(value))}"  # a path: no syntax in it
        if value is None and prefix != "~":
            meant = [f"{group}={line}" for group, options in groups().items() if line in options]
            meant += [f"{line}=..."] if line in KEYS else []
            raise ConfigError(f"{line!r}: expected key=value{f'; did you mean {meant[0]}?' if meant else ''}")
        try:
            try:
                found += parser.parse_overrides([line])
            except HydraException:
                if key not in VERBATIM:
                    raise
                found += parser.parse_overrides([f"{prefix}{key}={quoted(value or '')}"])  # ~/x.csv, a (1).csv
        except HydraException as error:
            cure = f"quote the value, as in \"{prefix}{key}='...'\""
            if value and re.fullmatch(r"\[[^\[\]{}'\"]*\]", value):  # a list whose items hold such syntax
                items = ",".join(i if re.fullmatch(r"[\w.-]+", i) else f"'{i}'" for i in re.split(" *, *", value[1:-1]))
                cure = f'quote such names in the list: "{prefix}{key}=[{items}]"'
            raise ConfigError(f"{line}: invalid syntax; {cure}") from error
        if key in AS_TYPED and isinstance(found[-1].value(), int | float):  # a folder 2024, a column 1e3
            found[-1:] = parser.parse_overrides([f"{prefix}{key}={quoted(value or '')}"])
    return found


def set_values(cfg: DictConfig, choices: list[Override], values: list[Override]) -> None:
    """Set values in a config composed from these choices, and record them there as Hydra would."""
    for override in values:
        is_new = override.type is not OverrideType.CHANGE
        OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=is_new)
        noted = cfg.hydra.overrides.hydra if override.is_hydra_override() else cfg.hydra.overrides.task
        noted.append(override.input_line)
    job, of_run = cfg.hydra.job, [override for override in (*choices, *values) if not override.is_hydra_override()]
    job.override_dirname = get_overrides_dirname(of_run, **job.config.override_dirname)


def composed(config_name: str, choices: list[str]) -> DictConfig:
    """Compose a config of these choices with the open Hydra, Hydra's node included.

    Raises:
        ConfigError: Hydra cannot make anything of some yaml.
    """
    try:
        with in_one_line():
            return hydra.compose(config_name, choices, return_hydra_config=True)
    except MISREAD as error:
        raise ConfigError(f"a yaml that Hydra cannot read: {error}") from error


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn the errors of Hydra and OmegaConf into a ConfigError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    """Shorten Hydra's message, drop its advice to add a `+`, and name the key nearest to an unknown one."""
    unknown = re.search(r"Key '(\w+)' not in 'Config'", f"{error} {error.__cause__}")
    if unknown:
        place = re.search(r"In '(.+?)'", str(error))
        return f"unknown key {unknown[1]}{f' in {place[1]}.yaml' if place else ''}; {nearest(unknown[1], KEYS)}"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip() and "object_type" not in line]
    return "; ".join(line for line in lines if not line.startswith(("To append", "Set the environment")))


@contextmanager
def run_config(cfg: DictConfig, folder: Path) -> Iterator[DictConfig]:
    """Yield the config for the run in `folder`: without Hydra's node, but with `${hydra:...}` resolving to its values.

    The folder is recorded in that node, which stays in `cfg`.
    """
    cfg.hydra.mode, cfg.hydra.run.dir = RunMode.RUN, literal(str(folder))
    cfg.hydra.runtime.output_dir = literal(str(folder.absolute()))
    own = copy.deepcopy(cfg)
    with open_dict(own):
        del own["hydra"]
    before = HydraConfig.instance().cfg  # of a program that calls this one
    HydraConfig.instance().set_config(cfg)
    try:
        yield own
    finally:
        HydraConfig.instance().cfg = before


def show(flags: Namespace) -> None:
    """Have Hydra print what its own flags ask for: help, --cfg, --info or completion.

    Raises:
        ConfigError: a flag or value that Hydra refuses.
    """
    told = io.StringIO()
    try:
        with redirect_stderr(told), in_one_line():
            launch(flags, lambda cfg: None)
    except SystemExit as end:
        if end.code:
            raise ConfigError(told.getvalue()) from end
    except MISREAD as error:
        raise ConfigError(str(error)) from error


def launch(flags: Namespace, job: Callable[[DictConfig], Any]) -> None:
    """Hand a command line to Hydra itself, which composes configs and calls `job` with each."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1
    version.setbase(VERSION)
    with _checked_files():
        _run_hydra(flags, get_args_parser(), job, str(CONF), flags.config_name)
