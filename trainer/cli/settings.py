"""The arguments of a command: `key=value`, with the nearest name for a wrong one, and `--help`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainer.errors import ConfigError, nearest


class Setting(NamedTuple):
    """One key of a command. Without a default it is needed."""

    about: str
    default: str | None = None
    choices: tuple[str, ...] = ()


class Settings(NamedTuple):
    """What was given: the command's own keys, words without a `=`, and keys for the config of a run."""

    values: dict[str, str]
    words: list[str]
    overrides: list[str]
    config_dir: str | None


def settings(
    command: str,
    known: Mapping[str, Setting],
    arguments: Sequence[str],
    *,
    words: str = "",
    overrides: bool = False,
) -> Settings:
    """Take the arguments apart. `words` says what may stand without a `=`, and `overrides` whether other keys may.

    Raises:
        ConfigError: a key that does not exist, a value that cannot be, or one that is missing.
    """
    found = Settings({key: s.default for key, s in known.items() if s.default is not None}, [], [], None)
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word.startswith("--") and word[2:] in known and "true" in known[word[2:]].choices:
            word = f"{word[2:]}=true"
        key, given, value = word.partition("=")
        if key == "--config-dir" and overrides:
            found = found._replace(config_dir=value if given else left.pop(0) if left else "")
        elif key in known and given:
            choices = known[key].choices
            if choices and value not in choices:
                raise ConfigError(f"dltrain {command}: {word}: expected one of {', '.join(choices)}")
            found.values[key] = value
        elif given and overrides:
            found.overrides.append(word)
        elif words and not given and not word.startswith("--"):
            found.words.append(word)
        else:
            hint = f"did you mean {key.lstrip('-')}=...?" if key.lstrip("-") in known else nearest(key, known)
            raise ConfigError(f"dltrain {command}: {word!r}: {hint}")
    for key in known:
        if key not in found.values:
            raise ConfigError(f"dltrain {command}: {key}= is needed: {known[key].about}")
    return found


def help_of(command: str, about: str, known: Mapping[str, Setting], examples: Sequence[str]) -> str:
    """What `dltrain COMMAND --help` prints."""
    lines = [f"dltrain {command}: {about}", "", *(f"  {example}" for example in examples), ""]
    for key, setting in known.items():
        default = "" if setting.default is None else f" [{setting.default}]" if setting.default else ""
        lines.append(f"  {key + '=':<12} {setting.about}{default}")
    return "\n".join(lines)
