"""Check a command line: every key exists, and every value is valid.

Hydra composes; this module decides what may be composed. It imports torch only to look up an argument of a component
that its yaml does not mention.
"""

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf

from trainer.config.compose import composed, in_one_line, loader, open_hydra, parse_all, set_values
from trainer.config.foreign import check_yaml
from trainer.config.keys import SLOTS, is_of_hydra, value_of
from trainer.config.schema import CONF, KNOBS, LARGEST
from trainer.config.user_modules import allow_all
from trainer.errors import ConfigError, near, nearest

Checked = tuple[DictConfig, list[str]]


@dataclass
class Checker:
    """Composes and checks the configs of runs; choices that several runs share are composed once."""

    config_dir: str | None = None
    config_name: str = "config"
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)  # choices -> their config

    def check(self, overrides: Sequence[str]) -> Checked:
        """Compose and check one run, like `checked`."""
        ignored = Path(self.config_dir or CONF, f"{self.config_name}.yaml")
        if self.config_name == "config" and ignored.exists() and ignored.parent.resolve() != CONF.resolve():
            raise ConfigError(
                f"{ignored} would be ignored, since dltrain has a config of that name; rename it, and pass "
                "--config-name with the new name"
            )
        with open_hydra(self.config_dir), in_one_line():
            parsed = [_settled(override) for override in parse_all(overrides)]
            choices = [override for override in parsed if _is_choice(override)]
            lines = tuple(f"~{o.key_or_group}" if o.value() is None else str(o.input_line) for o in choices)
            if lines not in self.composed:
                self.composed[lines] = composed(self.config_name, list(lines))
                _check_slots(self.composed[lines])
                allow_all(self.composed[lines], None if "trust=true" in overrides else self.config_dir)
            cfg = copy.deepcopy(self.composed[lines])
            values = [_checked_value(override, cfg) for override in parsed if override not in choices]
            set_values(cfg, choices, values)
            allow_all(cfg)  # metrics that the command line names
            if self.config_dir or self.config_name != "config" or any(map(is_of_hydra, overrides)):
                check_yaml(cfg, overrides)
            _check_knobs(cfg)
        return cfg, [*lines, *(str(override.input_line) for override in values)]


def checked(overrides: Sequence[str], config_dir: str | None = None, config_name: str = "config") -> Checked:
    """Compose the config of one run, and check every override.

    Returns the config, Hydra's node included, and the overrides for Hydra: an argument that a component's yaml does
    not mention gets the `++` that Hydra needs.

    Raises:
        ConfigError: an unknown key or an invalid value; names the nearest valid ones.
    """
    return Checker(config_dir, config_name).check(overrides)


def checked_all(
    runs: Sequence[Sequence[str]], config_dir: str | None = None, config_name: str = "config"
) -> list[Checked]:
    """Compose and check several runs, like `checked`."""
    checker = Checker(config_dir, config_name)
    return [checker.check(overrides) for overrides in runs]


def _settled(override: Override) -> Override:
    """Return a choice with the option's own spelling: names ignore case, and hyphens are underscores."""
    group, value = override.key_or_group, override.value()
    if override.is_sweep_override():
        raise ConfigError(f"{override.input_line}: several values make a sweep; add -m")
    if not isinstance(value, str) or not loader().repository.group_exists(group):
        return override
    options, name = loader().repository.get_group_options(group, ObjectType.CONFIG), value.lower().replace("-", "_")
    if value in options or name not in options:
        return override
    return replace(override, _value=name, input_line=f"{group}={name}")


def _is_choice(override: Override) -> bool:
    """Whether an override chooses an option of a group. Raise ConfigError if that option does not exist."""
    group, line = override.key_or_group, override.input_line
    repository = loader().repository  # its own functions of these names copy it at each call
    if not repository.group_exists(group):
        return False
    value, options = override.value(), repository.get_group_options(group, ObjectType.CONFIG)
    if value is not None and str(value) not in options:
        raise ConfigError(f"{line}: no such {group}; {nearest(str(value), options)}")
    if value is None and group != "experiment":
        raise ConfigError(f"{line}: {group} is required; {nearest('', options)}")
    return True


def _checked_value(override: Override, cfg: DictConfig) -> Override:
    """Check an override's key and the kind of its value; return it as Hydra needs it."""
    key, line = override.key_or_group, str(override.input_line)
    if override.is_delete():
        raise ConfigError(f"{line}: {key} cannot be deleted; choose another option, or set a key in it")
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if key.startswith("hydra."):
        if override.type is OverrideType.CHANGE and name not in (node or {}):
            raise ConfigError(f"{line}: unknown key {key}; {nearest(name, node or {}, f'{parent}.')}")
        return override
    known = [str(n) for n in node if n not in ("_target_", "hydra")] if isinstance(node, DictConfig) else []
    if name in known:
        if not OmegaConf.is_missing(node, name):
            _check_kind(line, key, override.value(), node[name])
        return replace(override, type=OverrideType.CHANGE, input_line=f"{key}={value_of(line)}")
    if parent in SLOTS:
        known += _settings_of(cfg, parent)
        if name in known:
            return replace(override, type=OverrideType.FORCE_ADD, input_line=f"++{key}={value_of(line)}")
    if not near(name, known) and (meant := [f"{slot}.{name}" for slot in SLOTS if name in _settings_of(cfg, slot)]):
        raise ConfigError(f"{line}: unknown key {key}; did you mean {meant[0]}={value_of(line)}?")
    raise ConfigError(f"{line}: unknown key {key}; {nearest(name, known, f'{parent}.' if parent else '')}")


def _settings_of(cfg: DictConfig, slot: str) -> list[str]:
    from trainer.config.targets import parameters_of

    return parameters_of(slot, cfg[slot].get("_target_"))


def _check_kind(line: str, key: str, value: Any, present: Any) -> None:
    """Check that a number, list or boolean is replaced by its like; text and null may become anything."""
    if key in ("data.batch_size", "sweep.jobs", "threshold") or (isinstance(value, str) and value.startswith("${")):
        return
    if isinstance(present, bool) and key in KNOBS and not isinstance(KNOBS[key].default, bool):
        return  # text is fine too: yaml reads `off` as false
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(present, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(present, (int, float)) and key in KNOBS:
        fits = is_number and isinstance(value, (int, type(present))) and (_is_finite(value) or value == math.inf)
        kind = _kind(KNOBS[key])
    elif isinstance(present, (int, float)):
        fits, kind = is_number and _is_finite(value), "a finite number"
    elif isinstance(present, ListConfig):
        fits, kind = isinstance(value, list), "a list [...]"
    else:
        return
    if not fits and isinstance(present, ListConfig) and str(value).startswith("["):
        raise ConfigError(f"{line}: {key} must be a list; leave out the quotes around it")
    if not fits:
        raise ConfigError(f"{line}: {key} must be {kind}, got {str(value) or 'nothing'}")


def _check_slots(cfg: DictConfig) -> None:
    for slot in SLOTS:
        if not isinstance(cfg[slot], DictConfig):
            raise ConfigError(
                f"{slot}: {cfg[slot]}: expected settings such as {{_target_: ...}} in the yaml; "
                f"an option is chosen in its defaults list, with - override /{slot}: ..."
            )


def _check_knobs(cfg: DictConfig) -> None:
    for name, knob in KNOBS.items():
        value, rule = OmegaConf.select(cfg, name), knob.metadata
        value = "off" if value is False and "off" in rule["choices"] else value  # yaml reads `off` as false
        if rule["choices"] and str(value).lower() not in rule["choices"]:
            raise ConfigError(f"{name}={value}: expected one of {', '.join(rule['choices'])}")
        if not isinstance(value, (int, float)):
            continue
        in_range = rule["least"] <= value <= rule["most"] and value not in rule["never"]
        if not in_range or (rule["whole"] and _is_finite(value) and value != int(value)):
            raise ConfigError(f"{name}={value}: expected {_kind(knob)} ({rule['about']})")
        if (rule["whole"] or isinstance(value, int)) and LARGEST < value < math.inf:
            raise ConfigError(f"{name}={value}: expected at most {LARGEST} ({rule['about']})")
    size = cfg.data.get("batch_size")
    if size != "full" and (type(size) is not int or not 1 <= size <= LARGEST):
        raise ConfigError(f"data.batch_size={size}: expected a whole number of at least 1, or full")
    if cfg.folds == 1 and (cfg.fold or cfg.repeats > 1):
        raise ConfigError(f"fold={cfg.fold} repeats={cfg.repeats}: cross-validation needs folds=5, or another number")
    if cfg.fold > cfg.folds * cfg.repeats:
        raise ConfigError(
            f"fold={cfg.fold}: folds={cfg.folds} repeats={cfg.repeats} have 1 to {cfg.folds * cfg.repeats}"
        )
    if isinstance(cfg.threshold, (str, bool)) and cfg.threshold != "auto":
        raise ConfigError(f"threshold={cfg.threshold}: expected a number above 0 and below 1, or auto")
    jobs = OmegaConf.select(cfg, "sweep.jobs", default=1)
    if jobs != "auto" and type(jobs) is not int:
        raise ConfigError(f"sweep.jobs={jobs}: expected a whole number of at least 1, or auto")


def _is_finite(number: float) -> bool:
    """Whether a number, perhaps a whole one of a thousand digits, is a finite one in floating point."""
    return abs(number) <= sys.float_info.max


def _kind(knob: Any) -> str:
    rule = knob.metadata
    words = "a whole number" if rule["whole"] or isinstance(knob.default, int) else "a number"
    if rule["least"] > -math.inf:
        words += f" {'above' if rule['least'] in rule['never'] else 'of at least'} {rule['least']:g}"
    if rule["most"] < math.inf:
        words += f" and {'below' if rule['most'] in rule['never'] else 'at most'} {rule['most']:.10g}"
    return words
