"""Spell out what people type: `titanic.csv target=Survived` means `data=csv data.path=titanic.csv data.target=...`.

What comes out is what a run records, so that resuming and reproducing know nothing of this.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.config.keys import key_of, key_values, parse_line, quoted, unquoted
from trainer.config.schema import CONF, FITTING, GROUPS, groups
from trainer.errors import ConfigError, DataError
from trainer.files import expanded, read

ALIASES = {  # short form -> key
    "target": "data.target",
    "text": "data.text",
    "label": "data.label",
    "path": "data.path",
    "batch_size": "data.batch_size",
    "lr": "optim.lr",
    "learning_rate": "optim.lr",
    "weight_decay": "optim.weight_decay",
    "momentum": "optim.momentum",
    "dropout": "model.dropout",
    "hidden": "model.hidden",
    "dataset": "data",
    "optimizer": "optim",
}
TABLES, TEXTS, IMAGES = (
    (".csv", ".tsv", ".data"),
    (".txt", ".jsonl", ".ndjson", ".json"),
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif"),
)
JSON = (".jsonl", ".ndjson", ".json")  # of texts, or a table
OTHERS = (".zip", ".tar", ".tgz", ".7z", ".xlsx", ".xls", ".ods", ".parquet", ".feather", ".npz")  # not read
KINDS = {
    "tabular": "features",
    "text": "tokens",
    "synthetic": "features",
    "points": "features",
}  # module of trainer.data
OWN = Path("conf")  # the folder of a user's own configs


def spelled_out(overrides: Sequence[str], config_dir: str | None) -> tuple[list[str], str | None]:
    """Return the overrides and the config folder that these words mean.

    Raises:
        ConfigError: a path that cannot be data.
        DataError: a path that does not exist.
    """
    lines = [_full(line) for line in _joined(overrides)]
    given = key_values(lines)
    lines = [found for line in lines for found in _with_data(line, given)]
    given = key_values(lines)
    if config_dir is None and any(_is_own(group, name) for group, name in given.items()):
        config_dir = str(OWN)
    if not {"model", "experiment", "resume"} & {*map(key_of, lines)} and "data" in given:
        models = {_model_for(name, config_dir) for name in unquoted(given["data"]).split(",")}
        if len(models) == 1 and (model := models.pop()):
            lines.append(f"model={model}")
    return lines, config_dir


def _joined(words: Iterable[str]) -> list[str]:
    """Join what spaces around a `=` have torn apart."""
    joined: list[str] = []
    for word in words:
        word = re.sub(r"^([\w.+~]+) += *", r"\1=", word)
        before, now = parse_line(joined[-1] if joined else ""), parse_line(word)
        if (before.value == "" and now.value is None) or (before.value is None and before.key and not now.key):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _full(line: str) -> str:
    prefix, key, value = parse_line(line)
    return line if value is None or key not in ALIASES else f"{prefix}{ALIASES[key]}={value}"


def _is_own(group: str, name: str) -> bool:
    """Whether an option is not built in, and lies in ./conf."""
    return any(
        (OWN / group / f"{option}.yaml").is_file() and option not in groups()[group]
        for option in (unquoted(name).split(",") if group in GROUPS else ())
    )


def _model_for(data: str, config_dir: str | None) -> str | None:
    """Return the model for data that simple_cnn, the default, does not read; None for other data."""
    for root in (CONF, *([Path(config_dir)] if config_dir else [])):
        file = root / "data" / f"{data.lower()}.yaml"
        if file.is_file() and (found := re.search(rb"^_target_: *trainer\.data\.(\w+)\.", read(file), re.MULTILINE)):
            return FITTING.get(KINDS.get(found[1].decode(), ""))
    return None


def _with_data(line: str, given: dict[str, str]) -> list[str]:
    """Turn a path, or `data=` a path, into the data that it holds."""
    prefix, key, value = parse_line(line)
    if key == "data" and value:
        name = unquoted(value)
    elif value is None and (not prefix or line.startswith("~/")):
        name = line
    else:
        return [line]
    path = Path(expanded(name))
    is_path = "/" in name or _suffix(path) in (*TABLES, *TEXTS, *IMAGES, *OTHERS)
    if not is_path and (not path.exists() or any(name in options for options in groups().values())):
        return [line]
    from trainer.data._textfile import is_url, wrong_kind

    if not (path.exists() or is_url(name)):
        raise DataError(f"{name}: no such file or folder ({path.absolute()})")
    if _suffix(path) in IMAGES:
        raise ConfigError(f"{path}: a single image; expected a folder that has one folder of images per class")
    if what := wrong_kind(path):
        raise DataError(f"{name}: {what}")
    kind = _kind(path, given)
    plain = re.fullmatch(r"[\w./+-]+", name, re.ASCII)
    return [f"data={kind}", f"data.path={name if plain else quoted(name)}"]


def _suffix(path: Path) -> str:
    """Return the suffix in lower case, without a `.gz` behind it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _kind(path: Path, given: dict[str, str]) -> str:
    """Return the option of `data` that reads a file or folder."""
    if path.is_dir():
        return "image_folder"
    if "data.target" in given:
        return "csv"
    from trainer.data._text_columns import are_clear

    is_clear = _suffix(path) in TEXTS and (_suffix(path) not in JSON or are_clear(str(path)))
    if is_clear or "data.text" in given or "data.label" in given:
        return "text"
    try:
        return _kind_of_table(path, given)
    except ValueError as error:  # an unknown separator or encoding
        raise ConfigError(str(error)) from error


def _kind_of_table(path: Path, given: dict[str, str]) -> str:
    """Return text if a table surely is of texts and labels; otherwise a target is needed."""
    from trainer.data._table.opening import open_table
    from trainer.data._text_columns import likely_texts
    from trainer.data._textfile import listed

    keys = {f"data.{name}": name for name in ("separator", "encoding")}
    written: dict[str, Any] = {keys[key]: unquoted(given[key]) for key in keys if key in given}
    is_sure, settings = likely_texts(str(path), **written)
    if is_sure and "data.features" not in given:
        return "text"
    if not {"experiment", "resume"} & given.keys():
        names = f"choose from {listed(sorted(open_table(str(path), **written).names), 20)}"
        texts = f"; or classify texts: {settings}" if settings else ""
        raise ConfigError(f"{path}: which column should be predicted? add target=COLUMN; {names}{texts}")
    return "csv"
