"""Predictions as a person reads them, and as a CSV file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.data._image.file import printable
from trainer.data._table.encoder import TableEncoder
from trainer.data._table.file import TableFile
from trainer.data._table.opening import open_table
from trainer.errors import DataError, check_new, naming
from trainer.files import replacing
from trainer.trained.new_data import how

if TYPE_CHECKING:
    from trainer.trained.model import Trained

TOP = 3  # classes that are printed
AT_ONCE = 100_000  # rows of a table


def print_or_write(model: Trained, inputs: Sequence[str], outputs: Iterable[Tensor], output: str) -> None:
    """A line for each input: the likeliest classes and their probabilities; or a CSV file where one is asked for."""
    if output:
        with _written(output) as file:
            writer = csv.writer(file)
            writer.writerow(["input", *_titles(model)])
            writer.writerows(
                [printable(name), *cells] for name, cells in zip(inputs, _cells(model, outputs), strict=True)
            )
        return
    width = min(40, max(len(printable(name)) for name in inputs))
    for name, row in zip(inputs, (row for batch in outputs for row in batch), strict=True):
        top = row.topk(min(TOP, len(row)))
        likeliest = (f"{model.class_names[i]} {100 * p:.1f} %" for p, i in zip(*map(Tensor.tolist, top), strict=True))
        print(f"{printable(name):<{width}}  {'   '.join(likeliest)}")


def default_name(path: str) -> str:
    """Where the predictions for a table go: into the working folder or, of standard input, to the terminal."""
    name = Path(path).name
    for suffix in (".gz", ".csv", ".tsv", ".txt"):
        name = name.removesuffix(suffix)
    return "-" if path == "-" else f"{name}-predictions.csv"


def table_predictions(model: Trained, path: str, output: str) -> None:
    """Write a table again, each cell as it was, with columns for the prediction and the probability of each class.

    Raises:
        DataError: a column that is missing, a cell that cannot be read, or a column of the name of a new one.
        FileSystemError: there is a file of that name.
    """
    encoder = model.spec.encoder
    assert isinstance(encoder, TableEncoder)
    with _as_file(path) as named:
        file = open_table(named, **how(dict(model.cfg.data)))
        titles = _titles(model)
        if taken := [title for title in titles if title in file.names]:
            raise DataError(f"{path}: has a column {taken[0]!r} already; drop it, or name it otherwise")
        names = [file.column(column.name) for column in encoder.columns]
        text = [name for name in encoder.text if name in names]
        inputs = torch.from_numpy(encoder.encode(file.read(text)[names], file.error))
        cells = _cells(model, model.outputs(inputs.split(AT_ONCE)), file.decimal)
        with _written(output) as target:
            num_rows = _write_again(file, titles, cells, target)
    if output != "-":
        print(f"{num_rows:,} rows with {', '.join(titles[:4])}{', ...' if len(titles) > 4 else ''} in {output}")


def _write_again(file: TableFile, titles: list[str], cells: Iterator[list[str]], target: Any) -> int:
    """The records of a file, longer by the cells; how many they were."""
    writer = csv.writer(target, delimiter=file.separator, lineterminator="\n")
    records = (fields for _, fields in file.records())
    if file.header:
        writer.writerow([*next(records), *titles])
    num_rows = 0
    for num_rows, (fields, more) in enumerate(zip(records, cells, strict=True), 1):  # noqa: B007 - counts
        writer.writerow([*fields, *more])
    return num_rows


def _titles(model: Trained) -> list[str]:
    if model.spec.task == "regression":
        return ["prediction"]
    return ["prediction", *(f"probability {name}" for name in model.class_names)]


def _cells(model: Trained, outputs: Iterable[Tensor], decimal: str = ".") -> Iterator[list[str]]:
    """Of each example: the value, or the likeliest class and the probabilities of all."""
    for row in (row for batch in outputs for row in batch):
        if model.spec.task == "regression":
            yield [f"{float(row):.7g}".replace(".", decimal)]
        else:
            yield [model.class_names[int(row.argmax())], *(f"{p:.6f}".replace(".", decimal) for p in row.tolist())]


@contextmanager
def _as_file(path: str) -> Iterator[str]:
    """The path; for `-` that of a file with what comes by standard input, which has to be read more than once."""
    if path != "-":
        yield str(Path(path).expanduser())
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        copy.write_bytes(sys.stdin.buffer.read())
        yield str(copy)


@contextmanager
def _written(output: str) -> Iterator[Any]:
    """A new file, whole or not there; `-` is standard output.

    Raises:
        FileSystemError: there is one of that name, or it cannot be written.
    """
    if output == "-":
        yield sys.stdout
        return
    path = Path(output).expanduser()
    check_new(path)
    with naming(path), replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        yield file
