"""A column of a table as pandas has read it: whether it is numbers or text, and which of its cells cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data._textfile import cleaned
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

LARGEST = float(np.finfo(np.float32).max)
MAX_CATEGORIES = 100
SAMPLE = 10_000  # different words, by which a column is judged
Blame = Callable[[int, str, str], DataError]  # row, column and problem -> an error that names the place


def is_number(cells: pd.Series) -> bool:
    """Whether a column is of numbers; else it is of categories."""
    return cells.dtype.kind in "iuf"


def settled(cells: pd.Series, blame: Blame) -> pd.Series:
    """The column as finite numbers, NaN where missing, if most of its cells are numbers; else the words that it is.

    Raises:
        DataError: a cell that is no number among numbers, or none that 32 bits can hold.
    """
    import pandas as pd

    if is_number(cells):
        return as_numbers(cells, blame)
    counts = cells.value_counts()
    some = counts.iloc[:: 1 + len(counts) // SAMPLE]
    words = pd.Series(some.index, dtype=object).astype(str)
    for text, cure in [(words, ""), (words.str.replace(",", ".", n=1), "; data.decimal=comma reads such numbers")]:
        numbers = pd.to_numeric(text, errors="coerce").notna().to_numpy()
        if some[numbers].sum() > some.sum() / 2:
            return as_numbers(cells, blame, f"{cure}; if the column is text, data.text=[{cells.name}] says so")
    return cells


def as_numbers(cells: pd.Series, blame: Blame, cure: str = "") -> pd.Series:
    """The column as float64, NaN where missing.

    Raises:
        DataError: the first cell that is no number, or none that 32 bits can hold.
    """
    import pandas as pd

    if is_number(cells):
        values = cells.astype(np.float64)
    else:
        numbers = pd.to_numeric(pd.Series(cells.cat.categories, dtype=object), errors="coerce").to_numpy(np.float64)
        values = pd.Series(np.append(numbers, np.nan)[cells.cat.codes], cells.index, name=cells.name)
        refuse(cells, values.isna() & cells.notna(), f"is no number{cure}", blame)
    refuse(cells, values.abs() > LARGEST, f"is no finite number up to {LARGEST:.2g}", blame)
    return values


def refuse(cells: pd.Series, bad: Any, problem: str, blame: Blame) -> None:
    """Raise an error about the first cell that is bad."""
    bad = np.asarray(bad)
    if bad.any():
        raise blame(int(cells.index[bad.argmax()]), str(cells.name), problem)


def why_unusable(cells: pd.Series) -> str:
    """Why a column can be no feature, in a word or two; empty if it can."""
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
    """A value of the target as the name of a class."""
    if isinstance(value, str):
        return cleaned(value)
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def in_memory(row: int, column: str, problem: str) -> DataError:
    """Blame for a table that is in no file."""
    return DataError(f"row {row}, column {column!r}: {problem}")
