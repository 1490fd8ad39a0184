"""Print predictions, or write them to a CSV file."""

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
from trainer.data._table.file import TableFile, open_table
from trainer.errors import DataError, check_new, naming
from trainer.files import replacing
from trainer.trained.new_data import how

if TYPE_CHECKING:
    from trainer.trained.model import Trained

TOP = 3  # classes to print
AT_ONCE = 100_000  # table rows per batch


def print_or_write(model: Trained, inputs: Sequence[str], outputs: Iterable[Tensor], output: str) -> None:
    """Print one line per input with its likeliest classes, or write a CSV file if `output` names one."""
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
    """Return the default output for a table: a file in the working folder or, for standard input, the terminal."""
    name = Path(path).name
    for suffix in (".gz", ".csv", ".tsv", ".txt"):
        name = name.removesuffix(suffix)
    return "-" if path == "-" else f"{name}-predictions.csv"


def table_predictions(model: Trained, path: str, output: str) -> None:
    """Copy a table unchanged, with new columns for the prediction and the probability of each class.

    Raises:
        DataError: a column is missing, a cell cannot be read, or a new column's name is taken.
        FileSystemError: the output exists.
    """
    encoder = model.spec.encoder
    assert isinstance(encoder, TableEncoder)
    with _as_file(path) as named:
        file = open_table(named, **how(dict(model.cfg.data)))
        titles = _titles(model)
        if taken := [title for title in titles if title in file.names]:
            raise DataError(f"{path}: already has a column {taken[0]!r}; drop or rename it")
        names = [file.column(column.name) for column in encoder.columns]
        text = [name for name in encoder.text if name in names]
        inputs = torch.from_numpy(encoder.encode(file.read(text)[names], file.error))
        cells = _cells(model, model.outputs(inputs.split(AT_ONCE)), file.decimal)
        with _written(output) as target:
            num_rows = _write_again(file, titles, cells, target)
    if output != "-":
        print(f"{num_rows:,} rows with {', '.join(titles[:4])}{', ...' if len(titles) > 4 else ''} in {output}")


def _write_again(file: TableFile, titles: list[str], cells: Iterator[list[str]], target: Any) -> int:
    """Write the records of a file with the new cells, and return their number."""
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
    """Open a new file that appears whole or not at all; `-` is standard output.

    Raises:
        FileSystemError: the file exists, or cannot be written.
    """
    if output == "-":
        yield sys.stdout
        return
    path = Path(output).expanduser()
    check_new(path)
    with naming(path), replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        yield file
