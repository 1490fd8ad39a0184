"""How a command is called: its `key=value` settings, with the nearest name for a wrong one, and its help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainer.config.keys import parse_line
from trainer.errors import ConfigError, nearest


class Setting(NamedTuple):
    """One key of a command. Without a default it is needed."""

    about: str
    default: str | None = None
    choices: tuple[str, ...] = ()


class Usage(NamedTuple):
    """What a command takes."""

    settings: Mapping[str, Setting]
    examples: Sequence[str]
    words: str = ""  # what an argument without a `=` is, if there may be any
    overrides: bool = False  # whether keys for the config of a run may be given, too


class Settings(NamedTuple):
    """What was given: the command's own keys, words without a `=`, and keys for the config of a run."""

    values: dict[str, str]
    words: list[str]
    overrides: list[str]
    config_dir: str | None


def parse(command: str, usage: Usage, arguments: Sequence[str]) -> Settings:
    """Take the arguments of a command apart.

    Raises:
        ConfigError: a key that does not exist, a value that cannot be, or one that is missing.
    """
    known = usage.settings
    found = Settings({key: s.default for key, s in known.items() if s.default is not None}, [], [], None)
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word.startswith("--") and word[2:] in known and "true" in known[word[2:]].choices:
            word = f"{word[2:]}=true"
        _, key, value = parse_line(word)
        if key == "--config-dir" and usage.overrides:
            found = found._replace(config_dir=value if value is not None else left.pop(0) if left else "")
        elif key in known and value is not None:
            choices = known[key].choices
            if choices and value not in choices:
                raise ConfigError(f"dltrain {command}: {word}: expected one of {', '.join(choices)}")
            found.values[key] = value
        elif value is not None and usage.overrides:
            found.overrides.append(word)
        elif usage.words and value is None and not word.startswith("--"):
            found.words.append(word)
        else:
            hint = f"did you mean {key.lstrip('-')}=...?" if key.lstrip("-") in known else nearest(key, known)
            raise ConfigError(f"dltrain {command}: {word!r}: {hint}")
    for key in known:
        if key not in found.values:
            raise ConfigError(f"dltrain {command}: {key}= is needed: {known[key].about}")
    return found


def help_of(command: str, about: str, usage: Usage) -> str:
    """Return what `dltrain COMMAND --help` prints."""
    lines = [f"dltrain {command}: {about}", "", *(f"  {example}" for example in usage.examples), ""]
    for key, setting in usage.settings.items():
        default = f" [{setting.default}]" if setting.default else ""
        lines.append(f"  {key + '=':<12} {setting.about}{default}")
    return "\n".join([*lines, *([f"  {'words':<12} {usage.words}"] if usage.words else [])])
