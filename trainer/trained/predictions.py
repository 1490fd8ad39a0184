"""Predict for new inputs, and print the predictions or write them as CSV or JSON."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from trainer.data._image.file import printable
from trainer.data.tensors import DataSpec
from trainer.errors import ConfigError, DataError, check_new, naming
from trainer.files import replacing
from trainer.trained.inputs import (
    as_file,
    image_paths,
    images_like_training,
    parts,
    rows_like_training,
    texts_of,
    with_text,
)
from trainer.trained.model import Trained
from trainer.trained.new_data import HOW, OF_TEXTS, encoder_of, how, with_data
from trainer.view import streams

ENDING = r"(\.csv|\.tsv|\.txt)?(\.gz)?$"  # of a table's name
LINES, ARRAY = (".jsonl", ".ndjson"), ".json"  # suffixes of outputs; others are CSV
TOP = 3  # classes to print
AT_ONCE = 100_000  # rows of a table; more would be hardly faster
Chances = list[tuple[str, float]]  # classes with their probabilities
READS = {"features": (*HOW, "unknown"), "tokens": (*OF_TEXTS, "unknown"), "image": ()}  # settings of data, by kind


class Wanted(NamedTuple):
    """What to predict for, and in which form."""

    inputs: list[str]
    output: str = ""
    as_json: bool = False
    top: int | None = None  # classes of each prediction; all in a file
    overrides: Sequence[str] = ()  # data.KEY=VALUE, how the input is written


class Rows(NamedTuple):
    """What was given for each prediction, in columns, and the prediction: classes, a number, or None for no input."""

    names: Sequence[str]
    cells: Iterable[Sequence[str]]
    found: Iterable[Chances | float | None]


def predict(model: Trained, wanted: Wanted) -> None:
    """Predict for a table, images or texts, whichever the model reads.

    Raises:
        ConfigError: a setting that has no meaning for this model.
        DataError: an input that the model cannot read.
        FileSystemError: the output exists.
    """
    if wanted.top and model.spec.task == "regression":
        raise ConfigError(f"dltrain predict: top={wanted.top}: this model predicts a number, not classes")
    {"features": of_table, "image": of_images, "tokens": of_texts}[model.spec.kind](model, wanted)


def of_table(model: Trained, wanted: Wanted) -> None:
    """Copy a table unchanged, with new columns for the prediction and the probability of each class.

    By default into a file in the working folder or, for standard input, the terminal.
    """
    if len(wanted.inputs) > 1:
        raise ConfigError(f"dltrain predict: expected one table, got {len(wanted.inputs)}")
    path = wanted.inputs[0]
    default = "-" if path == "-" or wanted.as_json else f"{re.sub(ENDING, '', Path(path).name)}-predictions.csv"
    output = wanted.output or default
    with as_file(path) as named:
        data = with_data(model, wanted.overrides, READS[model.spec.kind]).data
        file, rows, notes = rows_like_training(named, encoder_of(model.spec), data)
        found = _found(model, model.outputs(rows.split(AT_ONCE)), wanted.top)
        records = (fields for _, fields in file.records())
        if file.header:
            next(records)
        given = Rows(file.names, records, found)
        _write(model, wanted, given, output, path, file.separator, file.decimal, file.header)
    say(notes)
    if output != "-":
        titles = titles_of(model.spec, wanted.top)
        print(f"{len(rows):,} rows with {', '.join(titles[:4])}{', ...' if len(titles) > 4 else ''} in {output}")


def of_images(model: Trained, wanted: Wanted) -> None:
    """Predict for images: files, folders and patterns."""
    paths, notes = image_paths(wanted.inputs)
    batches, names = images_like_training(paths, encoder_of(model.spec), notes), [printable(path) for path in paths]
    found = _found(model, model.outputs(batches), wanted.top or _all_or_top(wanted))
    _print_or_write(model, wanted, Rows(["input"], [[name] for name in names], found), names)
    say(notes)


def of_texts(model: Trained, wanted: Wanted) -> None:
    """Predict for texts: words, lines of files, or a column of tables; an empty one has no prediction."""
    encoder, data = encoder_of(model.spec), with_data(model, wanted.overrides, READS[model.spec.kind]).data
    names, cells, texts = ["input"], list[list[str]](), list[str]()
    for given in wanted.inputs:
        one = texts_of(given, len(wanted.inputs) == 1, encoder, how(data, OF_TEXTS))
        if cells and one[0] != names:
            raise DataError(f"{given}: other columns than in {wanted.inputs[0]}; predict one at a time")
        names = one[0]
        cells += one[1]
        texts += one[2]
    kept, notes = with_text(texts, encoder, data)
    batches = map(encoder.encode, parts([texts[place] for place in kept]))
    known = dict(zip(kept, _found(model, model.outputs(batches), wanted.top or _all_or_top(wanted)), strict=True))
    found = map(known.get, range(len(texts)))
    _print_or_write(model, wanted, Rows(names, cells, found), texts)
    say(notes)


def _all_or_top(wanted: Wanted) -> int | None:
    return None if wanted.output or wanted.as_json else TOP


def say(notes: Iterable[str]) -> None:
    """Print notes on standard error: the predictions may be on standard output."""
    for note in notes:
        print(f"note   {note}", file=sys.stderr)


def _print_or_write(model: Trained, wanted: Wanted, rows: Rows, names: Sequence[str]) -> None:
    """Print a line per input with its likeliest classes, or write all if there is an output or JSON is wanted."""
    if wanted.output or wanted.as_json:
        _write(model, wanted, rows, wanted.output or "-", wanted.inputs[0])
        return
    width = min(40, max(map(len, names)))
    for name, found in zip(names, rows.found, strict=True):
        likeliest = found if isinstance(found, list) else []
        shown = [f"{label} {100 * chance:.1f} %" for label, chance in likeliest]
        shown += [f"{found:.7g}"] if isinstance(found, float) else []
        print(f"{name:<{width}}  {'   '.join(shown)}".rstrip())


def _write(
    model: Trained,
    wanted: Wanted,
    rows: Rows,
    output: str,
    source: str,
    separator: str = ",",
    decimal: str = ".",
    header: bool = True,
) -> None:
    """Write a row or an object per input: what was given, the prediction and the probabilities of classes."""
    suffix = Path(output).suffix.lower()
    is_json = wanted.as_json or suffix in (*LINES, ARRAY)
    titles = titles_of(model.spec, wanted.top)
    names = [*rows.names]
    if taken := [title for title in (["prediction", "probabilities"] if is_json else titles) if title in names]:
        raise DataError(f"{source}: already has a column {taken[0]!r}; drop or rename it")
    with _written(output) as target:
        if is_json:
            is_array, first = suffix == ARRAY and not wanted.as_json, True
            target.write("[\n" if is_array else "")
            for cells, found in zip(rows.cells, rows.found, strict=True):
                record: dict[str, Any] = dict(zip(names, cells, strict=True))
                record["prediction"] = found[0][0] if isinstance(found, list) else found
                if isinstance(found, list):
                    record["probabilities"] = {label: round(p, 6) for label, p in _sorted(model, found, wanted.top)}
                target.write((",\n" if is_array and not first else "") + json.dumps(record, ensure_ascii=False))
                target.write("" if is_array else "\n")
                first = False
            target.write("\n]\n" if is_array else "")
            return
        separator = "\t" if suffix in (".tsv", ".tab") else separator
        writer = csv.writer(target, delimiter=separator, lineterminator="\n")
        if header:
            writer.writerow([*names, *titles])
        for cells, found in zip(rows.cells, rows.found, strict=True):
            writer.writerow([*cells, *_cells(model, found, wanted.top, decimal)])


def _found(model: Trained, outputs: Iterable[Tensor], top: int | None) -> Iterator[Chances | float]:
    """Yield for each example its value, or its `top` likeliest classes, all by default, from the likeliest on."""
    names = model.spec.classes
    for batch in outputs:
        if model.spec.task == "regression":
            yield from batch.tolist()
            continue
        places = batch.argsort(dim=1, descending=True, stable=True)[:, :top]
        for some, chances in zip(places.tolist(), batch.gather(1, places).tolist(), strict=True):
            yield [(names[at], chance) for at, chance in zip(some, chances, strict=True)]


def _sorted(model: Trained, found: Chances, top: int | None) -> Chances:
    """Return the likeliest classes first if only some are wanted, or else all in their order."""
    chances = dict(found)
    return found if top else [(name, chances[name]) for name in model.spec.classes]


def titles_of(spec: DataSpec, top: int | None = None) -> list[str]:
    """Return the names of the columns of a prediction: all classes or, likeliest first, the `top` ones."""
    if spec.task == "regression":
        return ["prediction"]
    if not top:
        return ["prediction", *(f"probability {name}" for name in spec.classes)]
    numbers = ["", *(f" {n}" for n in range(2, 1 + min(top, len(spec.classes))))]
    return [f"{what}{number}" for number in numbers for what in ("prediction", "probability")]


def _cells(model: Trained, found: Chances | float | None, top: int | None, decimal: str) -> list[str]:
    """Return the cells below the titles."""
    if found is None:
        return [""] * len(titles_of(model.spec, top))
    if isinstance(found, float):
        return [f"{found:.7g}".replace(".", decimal)]
    chances = [(name, f"{chance:.6f}".replace(".", decimal)) for name, chance in _sorted(model, found, top)]
    return [cell for pair in chances for cell in pair] if top else [found[0][0], *(chance for _, chance in chances)]


@contextmanager
def _written(output: str) -> Iterator[Any]:
    """Open a new file that appears whole or not at all; `-` is standard output."""
    if output == "-":
        yield sys.stdout if sys.stdout.isatty() else streams.unescaped()  # a program gets all as it is
        return
    path = Path(output).expanduser()
    check_new(path)
    with naming(path), replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        yield file
