"""Decide what a table's columns hold, fit an encoder to the training rows, and turn any rows into inputs.

`N` is the number of rows, `F` the number of inputs: one per numeric column, one per category of a text column. A cell
that does not fit its column raises the DataError that `blame` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data._textfile import cleaned
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

LARGEST = float(np.finfo(np.float32).max)
MAX_CATEGORIES = 100
SAMPLE = 10_000  # distinct words that decide about a column
Blame = Callable[[int, str, str], DataError]  # row, column, problem -> an error that names the place


def is_number(cells: pd.Series) -> bool:
    """Return whether a column holds numbers rather than categories."""
    return cells.dtype.kind in "iuf"


def settled(cells: pd.Series, blame: Blame) -> pd.Series:
    """Return the column as finite numbers, NaN where missing, if most of its cells are numbers; else unchanged."""
    import pandas as pd

    if is_number(cells):
        return as_numbers(cells, blame)
    counts = cells.value_counts()
    some = counts.iloc[:: 1 + len(counts) // SAMPLE]
    words = pd.Series(some.index, dtype=object).astype(str)
    for text, cure in [(words, ""), (words.str.replace(",", ".", n=1), "; data.decimal=comma reads such numbers")]:
        numbers = pd.to_numeric(text, errors="coerce").notna().to_numpy()
        if some[numbers].sum() > some.sum() / 2:
            return as_numbers(cells, blame, f"{cure}; if the column is text, set data.text=[{cells.name}]")
    return cells


def as_numbers(cells: pd.Series, blame: Blame, cure: str = "") -> pd.Series:
    """Return the column as float64, NaN where missing; all cells must be numbers that are finite in 32 bits."""
    import pandas as pd

    if is_number(cells):
        values = cells.astype(np.float64)
    else:
        numbers = pd.to_numeric(pd.Series(cells.cat.categories, dtype=object), errors="coerce").to_numpy(np.float64)
        values = pd.Series(np.append(numbers, np.nan)[cells.cat.codes], cells.index, name=cells.name)
        refuse(cells, values.isna() & cells.notna(), f"is not a number{cure}", blame)
    refuse(cells, values.abs() > LARGEST, f"is not a finite number up to {LARGEST:.2g}", blame)
    return values


def refuse(cells: pd.Series, bad: Any, problem: str, blame: Blame) -> None:
    """Raise an error about the first bad cell."""
    bad = np.asarray(bad)
    if bad.any():
        raise blame(int(cells.index[bad.argmax()]), str(cells.name), problem)


def flaw_of(cells: pd.Series) -> str:
    """Return why a column cannot be a feature, in a word or two; empty if it can."""
    num_cells = cells.count()
    if not num_cells:
        return "empty"
    if is_number(cells):
        return ""
    counts = cells.value_counts()
    words = counts.index[counts > 0]
    if len(words) <= min(MAX_CATEGORIES, num_cells / 2):
        return ""
    if len(words) <= num_cells / 2:
        return f"{len(words):,} categories"
    return "free text" if np.mean([" " in word for word in words[:SAMPLE]]) > 0.5 else "identifier"


def label(value: str | float) -> str:
    """Return the class name for a value of the target."""
    if isinstance(value, str):
        return cleaned(value)
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@dataclass(frozen=True)
class Column:
    """A feature: standardised numbers, the mean if missing; or text, with an input for each category."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        return (self.name,) if self.categories is None else tuple(f"{self.name}={cleaned(c)}" for c in self.categories)


@dataclass(frozen=True)
class Target:
    """What is predicted: a value with mean and standard deviation, or classes in the order of their numbers."""

    name: str
    task: str  # regression | binary | multiclass
    classes: tuple[str | float, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes as text."""
        return tuple(map(label, self.classes))


@dataclass(frozen=True)
class TableEncoder:
    """All that is needed to encode other rows like the training rows; plain enough for JSON."""

    columns: tuple[Column, ...]
    target: Target
    fill: bool  # whether a missing cell is filled in rather than an error

    @property
    def text(self) -> tuple[str, ...]:
        """Return the columns to read as text whatever they hold."""
        names = [column.name for column in self.columns if column.categories is not None]
        return (*names, *([self.target.name] if any(isinstance(c, str) for c in self.target.classes) else []))

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Return the shape of an encoded row."""
        return (sum(len(column.inputs) for column in self.columns),)

    def encode(self, frame: pd.DataFrame, blame: Blame) -> np.ndarray:
        """Return inputs `(N, F)` float32; missing text, or text unknown in training, is zero in all its inputs."""
        ends = np.cumsum([0, *(len(column.inputs) for column in self.columns)])
        inputs = np.zeros((len(frame), ends[-1]), np.float32)
        for column, start in zip(self.columns, ends[:-1], strict=True):
            cells = frame[column.name]
            if not self.fill:
                refuse(cells, cells.isna(), "where a value was expected", blame)
            if column.categories is not None:
                found = _numbered(cells, column.categories)
                rows = (found >= 0).nonzero()[0]
                inputs[rows, start + found[rows]] = 1
                continue
            values = (as_numbers(cells, blame).to_numpy() - column.mean) / column.std
            refuse(cells, np.abs(values) > LARGEST, "is too far from the training rows for a 32-bit float", blame)
            inputs[:, start] = np.nan_to_num(values, copy=False)
        return inputs

    def encode_target(self, frame: pd.DataFrame, blame: Blame) -> np.ndarray:
        """Return targets `(N,)`: standardised values float64, or the numbers int64 of classes known in training."""
        import pandas as pd

        cells = frame[self.target.name]
        refuse(cells, cells.isna(), "where a value was expected", blame)
        if self.target.task == "regression":
            return (as_numbers(cells, blame).to_numpy() - self.target.mean) / self.target.std
        if self.target.name in self.text:
            found = _numbered(cells, self.target.classes)
        else:
            found = pd.Index(self.target.classes, dtype=float).get_indexer(as_numbers(cells, blame))
        refuse(
            cells, found < 0, f"is not a class of the training file: {', '.join(self.target.class_names[:20])}", blame
        )
        return found


def _numbered(cells: pd.Series, words: Sequence[Any]) -> np.ndarray:
    """Return the index of each cell's word, -1 if it has none."""
    import pandas as pd

    found = pd.Index(words, dtype=object).get_indexer(cells.cat.categories.astype(object))
    return np.append(found, -1)[cells.cat.codes]


def as_it_is(names: Sequence[str], target: Target) -> TableEncoder:
    """Return an encoder for numbers that are not scaled."""
    return TableEncoder(tuple(Column(name) for name in names), target, fill=False)


def fit_column(cells: pd.Series, rows: np.ndarray) -> Column:
    """Fit a column to its training `rows`; constant numbers are not scaled."""
    name, cells = str(cells.name), cells.iloc[rows].dropna()
    if not is_number(cells):
        return Column(name, categories=tuple(sorted(map(str, cells.unique()))))
    mean, std = moments(cells.to_numpy(np.float64))
    return Column(name, mean, std)


def moments(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation; the value and 1 for a constant, 0 and 1 without values."""
    if not len(values) or values.min() == values.max() or not values.std():
        return float(values[0]) if len(values) else 0.0, 1.0
    return float(values.mean()), float(values.std())
