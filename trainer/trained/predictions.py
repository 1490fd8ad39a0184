"""Predict for new inputs, and print the predictions or write them as CSV or JSON."""

import csv
import glob
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._image.file import SUFFIXES, printable
from trainer.data._image.folders import contents, notes_on
from trainer.data._table.encoder import TableEncoder
from trainer.data._table.file import TableFile, open_table
from trainer.data._table.splits import like_training
from trainer.data._textfile import is_url, read_lines, wrong_kind
from trainer.data._texts import TABLES, holds_table, is_table, open_texts
from trainer.data._vocabulary import Vocabulary, cut
from trainer.data.folder import files_like_training, one_shade
from trainer.data.text import unknown_tokens
from trainer.errors import ConfigError, DataError, check_new, naming
from trainer.files import replacing
from trainer.trained.model import Trained
from trainer.trained.new_data import HOW, OF_TEXTS, encoder_of, how, with_data
from trainer.view import streams

ENDING = r"(\.csv|\.tsv|\.txt)?(\.gz)?$"  # of a table's name
LINES, ARRAY = (".jsonl", ".ndjson"), ".json"  # suffixes of outputs; others are CSV
FILES = (*TABLES, *SUFFIXES, ".txt", ".md", ".log", ".gz", ".zip", ".xlsx", ".xls", ".parquet", ".pdf", ".docx")
TOP = 3  # classes to print
BATCH, AT_ONCE = 256, 100_000  # images or texts, and rows of a table; more would be hardly faster
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
    with _as_file(path) as named:
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
        titles = titles_of(model, wanted.top)
        print(f"{len(rows):,} rows with {', '.join(titles[:4])}{', ...' if len(titles) > 4 else ''} in {output}")


def rows_like_training(
    path: str, encoder: TableEncoder, data: Mapping[str, Any]
) -> tuple[TableFile, Tensor, list[str]]:
    """Open a table that is written as `data` says; return it, its rows `(N, F)` as the model reads them, and notes."""
    file = open_table(path, **how(data), single=len(encoder.names) == 1)
    read, notes = like_training(file, encoder, encoder.names, data.get("unknown", "note"))
    return file, torch.from_numpy(encoder.encode(read.frame, file.error)), notes


def of_images(model: Trained, wanted: Wanted) -> None:
    """Predict for images: files, folders and patterns."""
    paths, notes = image_paths(wanted.inputs)
    batches, names = images_like_training(paths, encoder_of(model.spec), notes), [printable(path) for path in paths]
    found = _found(model, model.outputs(batches), wanted.top or _all_or_top(wanted))
    _print_or_write(model, wanted, Rows(["input"], [[name] for name in names], found), names)
    say(notes)


def images_like_training(paths: Sequence[str], encoder: ImageEncoder, notes: list[str]) -> Iterator[Tensor]:
    """Yield the images in batches `(B, C, H, W)`; the last one adds what there is to say to the notes."""
    files, plain = files_like_training(paths, encoder), list[str]()
    for places in parts(range(len(paths))):
        batch = files.read(places)
        plain.extend(paths[places[at]] for at in one_shade(batch).nonzero().flatten().tolist())
        yield batch
    if plain:
        notes.append(f"of one shade, or wholly transparent: {len(plain):,} images, such as {printable(plain[0])}")


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


def with_text(texts: Sequence[str], encoder: Vocabulary, data: Mapping[str, Any]) -> tuple[list[int], list[str]]:
    """Return the places of the texts that are not empty, and notes.

    Raises:
        DataError: there are none, or one has an unknown token where `data` says that it is an error.
    """
    kept = [place for place, text in enumerate(texts) if cut(text, encoder.unit)]
    if not kept:
        raise DataError("dltrain predict: the input has no text")
    notes = unknown_tokens("input", encoder, [texts[place] for place in kept], data.get("unknown", "note"))
    if len(kept) < len(texts):
        notes.append(f"without a prediction: {len(texts) - len(kept):,} of {len(texts):,} texts, which are empty")
    return kept, notes


def _all_or_top(wanted: Wanted) -> int | None:
    return None if wanted.output or wanted.as_json else TOP


def say(notes: Iterable[str]) -> None:
    """Print notes on standard error: the predictions may be on standard output."""
    for note in notes:
        print(f"note   {note}", file=sys.stderr)


def parts(sequence: Any) -> Iterator[Any]:
    """Cut images or texts into batches."""
    return (sequence[start : start + BATCH] for start in range(0, len(sequence), BATCH))


def image_paths(inputs: list[str]) -> tuple[list[str], list[str]]:
    """Return all images in files, folders (recursively) and glob patterns, and notes on what was skipped."""
    paths: list[str] = []
    notes: list[str] = []
    for given in inputs:
        path = Path(given).expanduser()
        if path.is_dir():
            inside = contents(str(path))
            found, notes = inside.images, notes + notes_on(inside)
            if not found:
                raise DataError(f"{path.absolute()}: this folder has no images ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if is_table(given):
                raise DataError(f"{path}: this is a table, but this model reads images ({', '.join(SUFFIXES)})")
            what = "" if given.lower().endswith(SUFFIXES) else wrong_kind(path)
            if what and "an image" not in what:
                raise DataError(f"{path}: {what}")
            found = [str(path)]
        elif is_url(given):
            raise DataError(f"{given}: {wrong_kind(path)}")
        elif not (found := sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True)))):
            raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths, notes


def texts_of(
    given: str, is_only: bool, encoder: Vocabulary, written: dict[str, Any]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the names of columns, their cells, and the texts: of a table, a file's lines, or words.

    A single word is split at its commas: `Schmidt,Rossi`. What looks like a file and is not there is refused.
    """
    column = written.pop("text", None)
    if given == "-" or _is_file(given):
        with _as_file(given) as file:
            if not column and not holds_table(file, encoder.text, encoder.label, **written):
                texts = read_lines(Path(file), written.get("encoding", "utf-8"))
                return ["input"], [[text] for text in texts], texts
            table = open_texts(file, columns=(column or encoder.text,), **written)
        at = table.place(column or encoder.text) if column or len(table.names) > 1 else 0
        if not table.header:  # nothing names the other columns
            return ["input"], [[cell] for cell in table.column(at)], table.column(at)
        return [*table.names], [row.cells for row in table.rows], table.column(at)
    if problem := _looks_like_a_file(given):
        cure = f"as a text: echo '{given}' | dltrain predict input=-"
        raise DataError(f"{given}: {problem}; this model reads texts; {cure}")
    texts = given.split(",") if is_only and not re.search(r"\s", given.strip()) else [given]
    return ["input"], [[text] for text in texts], texts


def _is_file(word: str) -> bool:
    """Whether a word names a file; a text may be longer than any name."""
    with suppress(OSError, ValueError):
        return Path(word).expanduser().is_file()
    return False


def _looks_like_a_file(word: str) -> str:
    """Say what is wrong with a word that can only be meant as a file or a folder; nothing if it may be a text."""
    with suppress(OSError, ValueError):
        if Path(word).expanduser().is_dir():
            return "a folder, not a file"
    if is_url(word):
        return wrong_kind(Path(word))
    is_one = not re.search(r"\s", word)
    is_path = word.startswith(("~/", "./", "../", "/")) or (is_one and ("/" in word or "\\" in word))
    has_suffix = word.lower().endswith(FILES) or (is_one and re.search(r"[^.,]\.[A-Za-z]\w{0,5}$", word))
    return "no such file" if is_path or has_suffix else ""


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
    titles = titles_of(model, wanted.top)
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
    names = model.class_names
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
    return found if top else [(name, chances[name]) for name in model.class_names]


def titles_of(model: Trained, top: int | None) -> list[str]:
    """Return the names of the columns of a prediction: all classes or, likeliest first, the `top` ones."""
    if model.spec.task == "regression":
        return ["prediction"]
    if not top:
        return ["prediction", *(f"probability {name}" for name in model.class_names)]
    numbers = ["", *(f" {n}" for n in range(2, 1 + min(top, len(model.class_names))))]
    return [f"{what}{number}" for number in numbers for what in ("prediction", "probability")]


def _cells(model: Trained, found: Chances | float | None, top: int | None, decimal: str) -> list[str]:
    """Return the cells below the titles."""
    if found is None:
        return [""] * len(titles_of(model, top))
    if isinstance(found, float):
        return [f"{found:.7g}".replace(".", decimal)]
    chances = [(name, f"{chance:.6f}".replace(".", decimal)) for name, chance in _sorted(model, found, top)]
    return [cell for pair in chances for cell in pair] if top else [found[0][0], *(chance for _, chance in chances)]


@contextmanager
def _as_file(path: str) -> Iterator[str]:
    """Yield the path; for `-`, a file with a copy of standard input, which is read more than once."""
    if path != "-":
        yield str(Path(path).expanduser())
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        copy.write_bytes(sys.stdin.buffer.read())
        yield str(copy)


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
