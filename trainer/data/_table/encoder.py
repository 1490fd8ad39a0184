"""Fit an encoder of a table's columns to the training rows, and turn any rows into inputs.

`N` is the number of rows, `F` the number of inputs: one per numeric column, one per category of a text column. A cell
that does not fit its column raises the DataError that `blame` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np

from trainer.data._table.numerals import TRUTH
from trainer.data._textfile import cleaned, listed
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

LARGEST = float(np.finfo(np.float32).max)
MISSING = ""  # the category of a missing cell
Blame = Callable[[int, str, str], DataError]  # row, column, problem -> an error that names the place


def is_number(cells: pd.Series) -> bool:
    """Return whether a column holds numbers rather than categories."""
    return cells.dtype.kind in "iuf"


def refuse(cells: pd.Series, bad: Any, problem: str, blame: Blame) -> None:
    """Raise an error about the first bad cell."""
    bad = np.asarray(bad)
    if bad.any():
        raise blame(int(cells.index[bad.argmax()]), str(cells.name), problem)


def label(value: str | float) -> str:
    """Return the class name for a value of the target."""
    if isinstance(value, str):
        return cleaned(value)
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@dataclass(frozen=True)
class Column:
    """A feature: standardised numbers; or text, with an input for each category, of which "" is a missing cell.

    A missing number is the median or, without one, the mean. With "" as the only category, the input tells whether a
    number is missing. `unit` is the sign or unit that numbers were written with.
    """

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] | None = None
    median: float | None = None
    unit: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={cleaned(category) or '(missing)'}" for category in self.categories)

    @property
    def is_text(self) -> bool:
        """Return whether the column holds words."""
        return self.categories is not None and self.categories != (MISSING,)


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
    def names(self) -> tuple[str, ...]:
        """Return the columns to read."""
        return tuple(dict.fromkeys(column.name for column in self.columns))

    @property
    def text(self) -> tuple[str, ...]:
        """Return the columns to read as text whatever they hold."""
        names = [column.name for column in self.columns if column.is_text]
        return (*names, *([self.target.name] if any(isinstance(c, str) for c in self.target.classes) else []))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Return the columns that must be numbers."""
        return tuple(name for name in (*self.names, self.target.name) if name not in self.text)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Return the shape of an encoded row."""
        return (sum(len(column.inputs) for column in self.columns),)

    def encode(self, frame: pd.DataFrame, blame: Blame) -> np.ndarray:
        """Return inputs `(N, F)` float32; text unknown in training is zero in all its inputs."""
        ends = np.cumsum([0, *(len(column.inputs) for column in self.columns)])
        inputs = np.zeros((len(frame), ends[-1]), np.float32)
        for column, start in zip(self.columns, ends[:-1], strict=True):
            cells = frame[column.name]
            if not self.fill:
                refuse(cells, cells.isna(), "where a value was expected", blame)
            if column.categories == (MISSING,):
                inputs[:, start] = cells.isna()
                continue
            if column.categories is not None:
                found = _numbered(cells, column.categories)
                rows = (found >= 0).nonzero()[0]
                inputs[rows, start + found[rows]] = 1
                continue
            values = (cells.to_numpy(np.float64) - column.mean) / column.std
            refuse(cells, np.abs(values) > LARGEST, "is too far from the training rows for a 32-bit float", blame)
            middle = 0.0 if column.median is None else (column.median - column.mean) / column.std
            inputs[:, start] = np.nan_to_num(values, copy=False, nan=middle)
        return inputs

    def encode_target(self, frame: pd.DataFrame, blame: Blame) -> np.ndarray:
        """Return targets `(N,)`: standardised values float64, or the numbers int64 of classes known in training."""
        cells, classes = frame[self.target.name], self.target.classes
        refuse(cells, cells.isna(), "where a value was expected", blame)
        if self.target.task == "regression":
            return (cells.to_numpy(np.float64) - self.target.mean) / self.target.std
        found = _classes_of(cells, classes)
        if (found < 0).any():
            row = int((found < 0).argmax())
            near = likeness(label(cells.iloc[row]), self.target.class_names)
            known = ", ".join(self.target.class_names[:20])
            raise blame(int(cells.index[row]), self.target.name, f"is not a class of the training file: {known}{near}")
        return found

    def unknown(self, frame: pd.DataFrame) -> list[str]:
        """Return a note for each column of text with cells that are unknown in training."""
        notes = []
        for column in self.columns:
            if not column.is_text:
                continue
            cells, known = frame[column.name], column.categories or ()
            strange = cells[(_numbered(cells, known) < 0) & cells.notna().to_numpy()].astype(str)
            if len(strange):
                words = [str(word) for word in strange.value_counts().index]
                what = listed(words, 3, of=cleaned) if len(words) > 2 else " or ".join(map(cleaned, words))
                near = likeness(words[0], known)
                cells_hold = f"{len(strange):,} of {len(cells):,} cells hold {what}"
                notes.append(f"column {column.name}: {cells_hold}, unknown in training{near}")
        return notes


def likeness(word: str, known: Sequence[str]) -> str:
    """Return a hint on which known word another stands for, if any: in another case or encoding, or a similar one."""
    for code in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            if (meant := normalize("NFC", word.encode(code).decode())) in known:
                return (
                    f"; {meant} in UTF-8 looks so when it is read as {code}: the encoding is another than in training"
                )
        with suppress(UnicodeError):
            if (meant := word.encode().decode(code)) in known:
                return f"; training read it as {meant}, UTF-8 taken for {code}"
    folded = {" ".join(name.casefold().split()): name for name in known}
    near = get_close_matches(" ".join(word.casefold().split()), folded, 1, cutoff=0.75)
    return f"; did you mean {cleaned(folded[near[0]])}?" if near else ""


def _numbered(cells: pd.Series, words: Sequence[Any]) -> np.ndarray:
    """Return the index of each cell's word, -1 if it has none; "" is that of missing cells."""
    numbers = {normalize("NFC", word): number for number, word in enumerate(words)}
    found = [numbers.get(str(word), -1) for word in cells.cat.categories]
    return np.array([*found, numbers.get(MISSING, -1)], np.int64)[cells.cat.codes]


def _classes_of(cells: pd.Series, classes: Sequence[str | float]) -> np.ndarray:
    """Return the class number of each cell, -1 if it has none; a word that is no class may be the number of one."""
    import pandas as pd

    values = [_value(name) for name in classes]
    by_value = {value: number for number, value in enumerate(values) if value is not None}
    if is_number(cells):
        return pd.Index(list(by_value), dtype=float).get_indexer(cells)
    found = _numbered(cells, [*map(str, classes)])
    if len(by_value) == len(classes):  # all are numbers, and different ones
        numbers = [
            -1 if (value := _value(str(word))) is None else by_value.get(value, -1) for word in cells.cat.categories
        ]
        found = np.where(found < 0, np.array([*numbers, -1], np.int64)[cells.cat.codes], found)
    return found


def _value(word: str | float) -> float | None:
    """Return the number, or truth value, that a word stands for."""
    if not isinstance(word, str):
        return float(word)
    with suppress(ValueError):
        return TRUTH[word.casefold()] if word.casefold() in TRUTH else float(word.replace(",", "."))
    return None


def as_it_is(names: Sequence[str], target: Target) -> TableEncoder:
    """Return an encoder for numbers that are not scaled."""
    return TableEncoder(tuple(Column(name) for name in names), target, fill=False)


def fit_column(
    cells: pd.Series, rows: np.ndarray, unit: str | None = None, *, auto: bool = False
) -> tuple[Column, ...]:
    """Fit a column to its training `rows`; constant numbers are not scaled.

    With `auto`, missing numbers are the median, and have an input of their own if there are any; missing text is a
    category.
    """
    name, cells = str(cells.name), cells.iloc[rows]
    has_gaps, cells = auto and cells.isna().any(), cells.dropna()
    if not is_number(cells):
        return (Column(name, categories=tuple(sorted([*map(str, cells.unique()), *([MISSING] if has_gaps else [])]))),)
    mean, std = moments(cells.to_numpy(np.float64))
    median = float(cells.median()) if auto and len(cells) else None
    column = Column(name, mean, std, median=median, unit=unit or None)
    return (column, Column(name, categories=(MISSING,))) if has_gaps else (column,)


def moments(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation; the value and 1 for a constant, 0 and 1 without values."""
    if not len(values) or values.min() == values.max() or not values.std():
        return float(values[0]) if len(values) else 0.0, 1.0
    return float(values.mean()), float(values.std())
