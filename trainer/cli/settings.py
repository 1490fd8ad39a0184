"""Parse a command's `key=value` settings, suggesting the nearest name for an unknown one, and format its help."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trainer.config.keys import parse_line
from trainer.errors import ConfigError, near, nearest


class Setting(NamedTuple):
    """One key of a command, required if it has no default. Its value is one of `choices`, or a number that `fits`."""

    about: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    expected: str = ""  # what a number that does not fit should have been
    fits: Callable[[float], bool] | None = None

    def check(self, value: str) -> str:
        """Return what was expected instead of this value, if anything."""
        if self.choices:
            return "" if value in self.choices else f"one of {', '.join(self.choices)}"
        with suppress(ValueError):
            if not self.fits or value == self.default or self.fits(float(value)):
                return ""
        return self.expected


TRUST = Setting("true: import modules of the working folder that a stranger's run names", "false", ("true", "false"))


def count(about: str, expected: str) -> Setting:
    """Return an optional setting that is a whole number of at least 1."""
    return Setting(about, "", expected=expected, fits=lambda value: value >= 1 and value % 1 == 0)


class Usage(NamedTuple):
    """The arguments of a command."""

    settings: Mapping[str, Setting]
    examples: Sequence[str]
    words: str = ""  # the meaning of arguments without a `=`, if allowed
    overrides: bool = False  # whether keys of a run's config are allowed too


class Settings(NamedTuple):
    """Parsed arguments: the command's own keys, words without a `=`, and keys of a run's config."""

    values: dict[str, str]
    words: list[str]
    overrides: list[str]
    config_dir: str | None


def parse(command: str, usage: Usage, arguments: Sequence[str]) -> Settings:
    """Parse the arguments of a command.

    Raises:
        ConfigError: an unknown key, an invalid value, or a missing one.
    """
    known = usage.settings
    found = Settings({key: s.default for key, s in known.items() if s.default is not None}, [], [], None)
    left = iter(arguments)
    for word in left:
        if word.startswith("--") and word[2:] in known and "true" in known[word[2:]].choices:
            word = f"{word[2:]}=true"
        word = _with_key(word, usage, arguments)
        _, key, value = parse_line(word)
        if key == "--config-dir" and usage.overrides:
            found = found._replace(config_dir=next(left, "") if value is None else value)
        elif key in known and value is not None:
            if expected := known[key].check(value):
                raise ConfigError(f"dltrain {command}: {word}: expected {expected}")
            found.values[key] = value
        elif value is not None and usage.overrides:
            found.overrides.append(word)
        elif usage.words and value is None and not word.startswith("--"):
            found.words.append(word)
        else:
            hint = f"did you mean {key.lstrip('-')}=...?" if key.lstrip("-") in known else nearest(key, known)
            if usage.overrides and value is None and not near(key, known):
                hint = "expected key=value"
            raise ConfigError(f"dltrain {command}: {word!r}: {hint}")
    if missing := [key for key in known if key not in found.values]:
        raise ConfigError(f"dltrain {command}: {missing[0]}= is required: {known[missing[0]].about}")
    return found


def _with_key(word: str, usage: Usage, arguments: Sequence[str]) -> str:
    """Return `last` as `run=last` and, unless words have a meaning of their own, `onnx` as `format=onnx`."""
    known = usage.settings
    missing = [key for key in known if not any(given.startswith(f"{key}=") for given in arguments)]
    is_run = word in ("last", "best") or any(Path(word, file).is_file() for file in ("config.yaml", "sweep.jsonl"))
    if "run" in missing and is_run:
        return f"run={word}"
    named = [key for key in missing if not usage.words and word in {*known[key].choices} - {"true", "false"}]
    return f"{named[0]}={word}" if named else word


def help_of(command: str, about: str, usage: Usage) -> str:
    """Return what `dltrain COMMAND --help` prints."""
    lines = [f"dltrain {command}: {about}", "", *(f"  {example}" for example in usage.examples), ""]
    for key, setting in usage.settings.items():
        default = f" [{setting.default}]" if setting.default else ""
        lines.append(f"  {key + '=':<12} {setting.about}{default}")
    return "\n".join([*lines, *([f"  {'WORD ...':<12} {usage.words}"] if usage.words else [])])
