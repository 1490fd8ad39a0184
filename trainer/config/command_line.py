"""Parse the command line: its flags, and the configs that it describes."""

from argparse import Namespace
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from trainer import __version__
from trainer.config.axes import sweep_axes, sweep_samples
from trainer.config.check import checked, checked_all
from trainer.config.keys import SLOTS, bare, key_of, parse_line
from trainer.config.schema import KNOBS
from trainer.errors import ConfigError


def parse(arguments: list[str]) -> Namespace:
    """Return Hydra's flags and, in `overrides`, the rest.

    Raises:
        ConfigError: an unknown or unsupported flag.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for action in parser._actions:
        if action.dest == "version":
            action.version = f"dltrain {__version__}"  # type: ignore[attr-defined]
    flags = parser.parse_intermixed_args(arguments)
    if flags.config_path or flags.experimental_rerun:
        raise ConfigError("--config-path and --experimental-rerun are not supported; --config-dir adds your own folder")
    flags.config_name = flags.config_name or "config"
    return flags


def again(flags: Namespace) -> list[str]:
    """Return the flags that say where configs are, as arguments."""
    given = {"--config-dir": flags.config_dir, "--config-name": flags.config_name}
    return [f"{flag}={value}" for flag, value in given.items() if value and value != "config"]


def _refuse(message: str) -> NoReturn:
    """Replace argparse's usage by one line; `--epochs 3` gets the form that works."""
    words = [key_of(word.lstrip("-")) for word in message.split() if word.startswith("--")]
    hint = next((f"; did you mean {word}=...?" for word in words if word.split(".")[0] in {*KNOBS, *SLOTS}), "")
    raise ConfigError(f"{message}{hint}; settings are key=value, dltrain --help lists them")


def checked_flags(flags: Namespace) -> DictConfig:
    """Return the config of the run that these flags describe.

    Raises:
        ConfigError: an unknown key or an invalid value.
    """
    return checked(flags.overrides, flags.config_dir, flags.config_name)[0]


def of_one_run(flags: Namespace) -> Namespace:
    """Return the flags of a run, or of a sweep's first job, with its overrides as Hydra needs them."""
    lines = [axis[0] for axis in sweep_axes(flags.overrides, flags.config_dir)] if flags.multirun else flags.overrides
    _, overrides = checked(lines, flags.config_dir, flags.config_name)
    return Namespace(**vars(flags) | {"multirun": False, "overrides": overrides})


def checked_sweep(flags: Namespace) -> tuple[dict[str, DictConfig], list[str]]:
    """Return configs of jobs in which every value occurs, by their overrides, and the sweep's overrides for Hydra."""
    samples = sweep_samples(sweep_axes(flags.overrides, flags.config_dir))
    jobs = checked_all(samples, flags.config_dir, flags.config_name)
    if len({cfg.dry_run for cfg, _ in jobs}) > 1:
        raise ConfigError("dry_run applies to the whole sweep; give it one value")
    prefixes = {key: prefix for prefix, key, _ in map(parse_line, jobs[0][1]) if prefix != "~"}
    configs = {" ".join(sample): cfg for sample, (cfg, _) in zip(samples, jobs, strict=True)}
    return configs, [prefixes.get(key_of(line), "") + bare(line) for line in flags.overrides]
