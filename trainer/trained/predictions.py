"""Predict for new inputs, and print the predictions or write them to a CSV file."""

import csv
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from trainer.data._image.file import SUFFIXES, printable
from trainer.data._image.folders import contents
from trainer.data._table.file import open_table
from trainer.data.folder import files_like_training
from trainer.errors import ConfigError, DataError, check_new, naming
from trainer.files import replacing
from trainer.trained.model import Trained
from trainer.trained.new_data import encoder_of, how
from trainer.view import streams

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ENDING = r"(\.csv|\.tsv|\.txt)?(\.gz)?$"  # of a table's name
TOP = 3  # classes to print
BATCH, AT_ONCE = 256, 100_000  # images or texts, and rows of a table; more would be hardly faster


def of_table(model: Trained, inputs: list[str], output: str) -> None:
    """Copy a table unchanged, with new columns for the prediction and the probability of each class.

    By default into a file in the working folder or, for standard input, the terminal.

    Raises:
        ConfigError: several tables.
        DataError: a column is missing, a cell cannot be read, or a new column's name is taken.
        FileSystemError: the output exists.
    """
    if len(inputs) > 1:
        raise ConfigError(f"dltrain predict: expected one table, got {len(inputs)}")
    path, encoder, titles = inputs[0], encoder_of(model.spec), _titles(model)
    output = output or ("-" if path == "-" else f"{re.sub(ENDING, '', Path(path).name)}-predictions.csv")
    with _as_file(path) as named:
        file = open_table(named, **how(dict(model.cfg.data)))
        if taken := [title for title in titles if title in file.names]:
            raise DataError(f"{path}: already has a column {taken[0]!r}; drop or rename it")
        names = [file.column(column.name) for column in encoder.columns]
        text = [name for name in encoder.text if name in names]
        rows = torch.from_numpy(encoder.encode(file.read(text)[names], file.error))
        cells = _cells(model, model.outputs(rows.split(AT_ONCE)), file.decimal)
        with _written(output) as target:
            writer = csv.writer(target, delimiter=file.separator, lineterminator="\n")
            records = (fields for _, fields in file.records())
            if file.header:
                writer.writerow([*next(records), *titles])
            for fields, more in zip(records, cells, strict=True):
                writer.writerow([*fields, *more])
    if output != "-":
        print(f"{len(rows):,} rows with {', '.join(titles[:4])}{', ...' if len(titles) > 4 else ''} in {output}")


def of_images(model: Trained, inputs: list[str], output: str) -> None:
    """Predict for images: files, folders and patterns.

    Raises:
        DataError: there is no image, or a file cannot be read.
        FileSystemError: the output exists.
    """
    paths = _image_paths(inputs)
    files = files_like_training(paths, encoder_of(model.spec))
    _print_or_write(model, paths, map(files.read, _parts(range(len(paths)))), output)


def of_texts(model: Trained, inputs: list[str], output: str) -> None:
    """Predict for texts.

    Raises:
        DataError: there is no text, or a file is not plain text.
        FileSystemError: the output exists.
    """
    texts = _texts_of(inputs)
    _print_or_write(model, texts, map(encoder_of(model.spec).encode, _parts(texts)), output)


def _parts(sequence: Any) -> Iterator[Any]:
    return (sequence[start : start + BATCH] for start in range(0, len(sequence), BATCH))


def _image_paths(inputs: list[str]) -> list[str]:
    """Return all images in files, folders (recursively) and glob patterns."""
    paths: list[str] = []
    for given in inputs:
        path = Path(given).expanduser()
        if path.is_dir():
            if not (found := contents(str(path)).images):
                raise DataError(f"{path.absolute()}: this folder has no images ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if given.lower().endswith(TABLES):
                raise DataError(f"{path}: this is a table, but this model reads images ({', '.join(SUFFIXES)})")
            found = [str(path)]
        elif not (found := sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True)))):
            raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths


def _texts_of(inputs: list[str]) -> list[str]:
    """Return texts from words, from a file or, for `-`, from standard input, one per line.

    A single word is split at commas without a space after them: `Schmidt,Rossi`.
    """
    word = inputs[0] if len(inputs) == 1 else ""
    if word == "-":
        texts = sys.stdin.read().splitlines()
    elif not word:
        texts = inputs
    elif _is_file(word):
        if word.lower().endswith((*TABLES, *SUFFIXES)):
            cure = "pass one text per line, as in: cut -d, -f1 FILE | dltrain predict input=-"
            raise DataError(f"{word}: this model reads texts; {cure}")
        try:
            texts = Path(word).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeError as error:
            raise DataError(f"{word}: not UTF-8 text: {error}") from error
    elif word.lower().endswith((*TABLES, *SUFFIXES)):
        raise ConfigError(f"input={word}: no such file; this model reads texts")
    else:
        texts = re.split(r",(?! )", word)
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise DataError("dltrain predict: the input has no text")
    return texts


def _is_file(word: str) -> bool:
    """Whether a word names a file; a text may be longer than any name."""
    with suppress(OSError, ValueError):
        return Path(word).is_file()
    return False


def _print_or_write(model: Trained, inputs: Sequence[str], batches: Iterable[Tensor], output: str) -> None:
    """Print one line per input with its likeliest classes, or write a CSV file if `output` names one."""
    outputs = model.outputs(batches)
    if output:
        with _written(output) as file:
            writer = csv.writer(file)
            writer.writerow(["input", *_titles(model)])
            for name, cells in zip(inputs, _cells(model, outputs), strict=True):
                writer.writerow([printable(name), *cells])
        return
    width = min(40, max(len(printable(name)) for name in inputs))
    for name, row in zip(inputs, (row for batch in outputs for row in batch), strict=True):
        top = row.topk(min(TOP, len(row)))
        likeliest = (f"{model.class_names[i]} {100 * p:.1f} %" for p, i in zip(*map(Tensor.tolist, top), strict=True))
        print(f"{printable(name):<{width}}  {'   '.join(likeliest)}")


def _titles(model: Trained) -> list[str]:
    if model.spec.task == "regression":
        return ["prediction"]
    return ["prediction", *(f"probability {name}" for name in model.class_names)]


def _cells(model: Trained, outputs: Iterable[Tensor], decimal: str = ".") -> Iterator[list[str]]:
    """Yield for each example its value, or its likeliest class and the probabilities of all classes."""
    for row in (row for batch in outputs for row in batch):
        if model.spec.task == "regression":
            yield [f"{float(row):.7g}".replace(".", decimal)]
        else:
            yield [model.class_names[int(row.argmax())], *(f"{p:.6f}".replace(".", decimal) for p in row.tolist())]


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
