"""Read a table of JSON: an object per line; a list of objects, which may lie in others; or the forms of pandas.

Numbers stay as they are written.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trainer.data._textfile import data_errors, listed, open_text, python_line, stem
from trainer.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json")
START = re.compile(r"\s*(\[\s*)?\{\s*[\"}]")
ABOUT = {"schema", "fields", "columns", "meta", "metadata"}  # keys of lists that describe a table


class Objects(NamedTuple):
    """The cells of a table below the names of its columns, and the line of each row, from 1."""

    names: tuple[str, ...]
    rows: list[tuple[list[str], int]]


def is_json(path: str | Path, start: str = "") -> bool:
    """Return whether a file of this name, or one that starts so, holds objects."""
    return str(path).lower().removesuffix(".gz").endswith(SUFFIXES) or bool(START.match(start))


def read_objects(file: Path, encoding: str) -> Objects:
    """Read all objects of a file; a missing cell is empty, and `a.b` names what is b in the object a.

    Raises:
        DataError: it is not JSON, or holds no objects, or several lists of them.
    """
    with data_errors(file, encoding), open_text(file, encoding) as lines:
        content = lines.read()
    found = _parsed(file, content)
    if not found:
        raise DataError(f"{file}: no objects")
    if wrong := [line for item, line in found if not isinstance(item, dict)]:
        raise DataError(f'{file}: line {wrong[0]}: expected an object, such as {{"text": "...", "label": "..."}}')
    flat = [(dict(_flat(item)), line) for item, line in found]
    names = tuple(dict.fromkeys(name for item, _ in flat for name in item))
    return Objects(names, [([_cell(item.get(name)) for name in names], line) for item, line in flat])


def _parsed(file: Path, content: str) -> list[tuple[Any, int]]:
    """Return what should be objects, and the line of each; of a file that is one value, the first."""
    try:
        return [(item, 1) for item in _items(_loaded(content), file)]
    except (ValueError, RecursionError) as error:
        whole = error
    lines = [(line, number) for number, line in enumerate(re.split(r"\r?\n", content), 1) if line.strip()]
    found: list[tuple[Any, int]] = []
    for line, number in lines:
        try:
            made = _loaded(line)
        except (ValueError, RecursionError) as error:
            at = number if found else getattr(whole, "lineno", 1)
            raise DataError(
                f"{file}: line {at}: not JSON: {error if found else whole}; expected an object per line, or a list"
            ) from error
        found += [(item, number) for item in (made if isinstance(made, list) else [made])]
    return found


def _loaded(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


def _items(value: Any, file: Path) -> list[Any]:
    """Return the rows in a value: a list, or an object in which a list of objects lies, or that pandas has written."""
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    values = [*value.values()]
    names, rows = value.get("columns"), value.get("data")  # orient="split" of pandas
    if isinstance(names, list) and isinstance(rows, list) and all(_is_list(row, len(names)) for row in rows):
        return [dict(zip(map(str, names), row, strict=True)) for row in rows]
    if values and all(_is_list(each, len(values[0])) for each in values):  # a list per column
        return [dict(zip(value, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(isinstance(each, dict) and each.keys() == values[0].keys() for each in values):
        if all(map(str.isdecimal, values[0])):  # orient="columns", the default
            return [{name: cells[row] for name, cells in value.items()} for row in values[0]]
        if all(map(str.isdecimal, value)):  # orient="index"
            return values
    if values and all(each == [] for each in values if isinstance(each, list)) and [] in values:
        return []
    found = dict(_lists(value))
    found = {keys: rows for keys, rows in found.items() if not ABOUT & {*keys}} or found
    if len(found) > 1:
        sizes = [f"{'.'.join(keys)} ({len(rows):,})" for keys, rows in found.items()]
        first = "".join(f"[{key!r}]" for key in next(iter(found)))
        new = f"{stem(file)}-rows.json"
        code = f"import json; json.dump(json.load(open({str(file)!r})){first}, open({new!r}, 'w'))"
        cure = f"{python_line(code)} makes {new} of the first"
        raise DataError(f"{file}: which list holds the rows? {listed(sizes, 10)}; {cure}")
    return next(iter(found.values()), [value])


def _is_list(value: Any, length: int) -> bool:
    """Return whether a value is a list, as long as given, without lists and objects."""
    return isinstance(value, list) and len(value) == length > 0 and not any(isinstance(v, list | dict) for v in value)


def _lists(value: dict[str, Any], outer: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Yield the lists of objects in an object and in objects in it, and their keys."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _lists(inner, (*outer, key))
        elif isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            yield (*outer, key), inner


def _flat(item: dict[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of an object, and of objects in it under names with dots, as pandas' json_normalize does."""
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
