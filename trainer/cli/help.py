"""Print `dltrain --help`: the parts to choose from and the knobs to set, or all settings of the named ones."""

import re
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any

from trainer.cli.commands import COMMANDS
from trainer.cli.shorthand import ALIASES, OWN
from trainer.config.keys import SLOTS, parse_line
from trainer.config.schema import CONF, KNOBS, groups
from trainer.errors import ConfigError, nearest
from trainer.files import read_yaml

SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Raises|Returns|Example|Examples|Note|Shape|Attributes|Keyword args):?$", re.I
)
WIDTH = 120  # columns
LOADER = {"batch_size": ("64", "Examples per batch, or full."), "balance": ("false", "Draw each class equally often.")}
SHARED = {  # meanings of settings that several parts have, unless their docstrings say more
    "root": "The folder of the files; by default $DLTRAIN_DATA, or else data.",
    "features": "The columns to use; all by default.",
    "drop": "Columns to leave out.",
    "missing": "What to do about a missing cell: auto, mean, drop or error.",
    "val_fraction": "Fraction of the examples for validation.",
    "test_fraction": "Fraction of the examples for testing.",
    "weight": "One number per class, or balanced: in inverse proportion to how frequent it is.",
    "label_smoothing": "Share of each target to spread evenly over the classes.",
    "warmup": "Updates in which the rate rises from nearly zero, or a fraction of all of them if below 1.",
}


def usage(arguments: Sequence[str]) -> str:
    """Return the help text, including the options in --config-dir if the arguments name one.

    Raises:
        ConfigError: an option, group or knob that does not exist.
    """
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", "-cd")
    known, rest = parser.parse_known_args(arguments)
    words = [parse_line(word) for word in rest if not word.startswith("-")]
    config_dir = known.config_dir or (str(OWN) if OWN.is_dir() else None)
    options = groups(config_dir)
    parts = [_about(key, value, options, config_dir) for _, key, value in words]
    return "\n\n".join("\n".join(part) for part in parts if part) or _overview(options)


def _about(key: str, value: str | None, options: dict[str, dict[str, str]], config_dir: str | None) -> list[str]:
    """Return the lines about an option, a group or a knob; none for a setting with a value."""
    if key in options and value:
        if value not in options[key]:
            raise ConfigError(f"{key}={value}: no such {key}; {nearest(value, options[key])}")
        file = _file(key, value, config_dir)
        about = _settings(key, file) if key in SLOTS else ["", *file.read_text(encoding="utf-8").splitlines()]
        return [f"{key}={value}  {options[key][value]}", *about]
    if key in options:
        return _group(key, options[key])
    key = ALIASES.get(key, key)
    knobs = [name for name in KNOBS if name == key or name.startswith(f"{key}.")]
    if knobs and value is None:
        return [_knob(name) for name in knobs]
    if value is None and "." not in key:
        raise ConfigError(f"dltrain --help {key}: {nearest(key, [*options, *KNOBS])}")
    return []


def _overview(options: dict[str, dict[str, str]]) -> str:
    lines = [
        "dltrain trains any model on any data with any loss and any optimizer, all chosen by name.",
        "",
        "  dltrain                                          the default: a small CNN on digits, in seconds",
        "  dltrain titanic.csv target=Survived              your own table; also a folder of images, or texts",
        "  dltrain model=resnet data=mnist epochs=3         choose parts, set knobs",
        "  dltrain -m model=mlp,simple_cnn lr=1e-3,1e-2     a sweep: one run per combination",
        "  tensorboard --logdir outputs                     look at all runs",
        "",
        "commands; each has its own --help",
        *(f"  dltrain {name:<11} {about}" for name, (_, about) in COMMANDS.items()),
    ]
    for group, found in options.items():
        lines += ["", *_group(group, found)]
    lines += ["", "knobs, with their defaults", *map(_knob, KNOBS)]
    lines += [
        "",
        "Settings of a part are dotted: optim.lr=0.01 data.batch_size=full model.hidden=[64,32];",
        "dltrain --help model=mlp lists all settings of a part. target=, lr= and batch_size= are short for",
        "data.target=, optim.lr= and data.batch_size=.",
        "--cfg job prints the whole config without running it; -m sweeps over comma-separated values;",
        "--config-dir DIR adds yaml files of your own, by default those in ./conf;",
        "--hydra-help and --shell-completion are Hydra's.",
    ]
    return "\n".join(lines)


def _group(group: str, options: dict[str, str]) -> list[str]:
    width = max(16, *map(len, options))
    return [f"{group}=", *(f"  {name:<{width}} {about}" for name, about in options.items())]


def _knob(name: str) -> str:
    choices = KNOBS[name].metadata["choices"]
    about = KNOBS[name].metadata["about"] + (f" ({', '.join(choices)})" if choices else "")
    return f"  {name + '=' + _as_typed(KNOBS[name].default):<29} {about}"


def _file(group: str, option: str, config_dir: str | None) -> Path:
    roots = [CONF, *([Path(config_dir)] if config_dir else [])]
    return next(file for root in roots if (file := root / group / f"{option}.yaml").is_file())


def _settings(slot: str, file: Path) -> Iterator[str]:
    """Yield a part's description, and its settings: default, type and meaning."""
    from trainer.config.targets import locate, parameters_of

    config = read_yaml(file)
    config = config.get(slot, config)  # some options set other keys besides
    target = config["_target_"]
    call = locate(slot, target)
    about, meanings = _documented(call)
    meanings = SHARED | meanings
    yield from ("", *(f"  {line}" for line in about)) if about else ()
    yield ""
    parameters = signature(call).parameters
    for name in parameters_of(slot, target):
        default, meaning = LOADER.get(name, ("", meanings.get(name, "")))
        kind = ""
        if name in parameters:
            given = parameters[name]
            if given.kind is Parameter.VAR_KEYWORD:
                continue
            default = "" if given.default is Parameter.empty else _as_typed(given.default)
            kind = _kind(given.annotation)
        if name in config:
            default = _as_typed(config[name])
        meaning = f"{meaning}{f' ({kind})' if kind else ''}".strip()
        setting = f"  {f'{slot}.{name}={default}':<31} "
        yield textwrap.fill(meaning, WIDTH, initial_indent=setting, subsequent_indent=" " * 34) or setting.rstrip()


def _as_typed(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if value == "???":
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_as_typed, value))}]"
    return str(value)


def _kind(annotation: Any) -> str:
    """Return a type as people read it: `list of str` for `Sequence[str]`."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if annotation is Parameter.empty:
        return ""
    text = str(annotation) if "[" in str(annotation) else text
    text = re.sub(r"\b(collections\.abc|typing|torch|torchvision\.models\.\w+)\.", "", text).replace(" | None", "")
    text = re.sub(r"(?:Sequence|list|tuple)\[(\w+)[^\]]*\]", r"list of \1", text)
    text = re.sub(r"Literal\['(\w+)'\]", r"\1", text)
    return re.sub(r"(?:Optional|Union)\[(.*?)(?:, NoneType)?\]", r"\1", text)


def _documented(call: Any) -> tuple[list[str], dict[str, str]]:
    """Return a docstring's text, and its meaning of each argument, in Google's style or torch's."""
    lines = cleandoc(call.__doc__ or "").splitlines()
    end = next(
        (n for n, line in enumerate(lines) if SECTION.match(line) or line.startswith((".. ", "Args"))), len(lines)
    )
    text = [line.replace("`", "") for line in lines[:end]]
    meanings: dict[str, str] = {}
    name = ""
    for line in lines[end:]:
        if found := re.match(r" {4}(\w+)(?: \([^)]*\))?: +(.*)", line):
            name = found[1]
            meanings[name] = found[2]
        elif name and line.startswith(" " * 8):
            meanings[name] += f" {line.strip()}"
        else:
            name = ""
    return "\n".join(text).strip().splitlines(), {name: _plain(text) for name, text in meanings.items()}


def _plain(text: str) -> str:
    return re.sub(r":\w+:`~?([^`]*)`|`", r"\1", re.sub(r" *\(default: [^)]*\)", "", text))
