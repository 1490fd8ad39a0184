"""Decide whether a column read by pandas is numeric or text, and reject invalid cells."""

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
SAMPLE = 10_000  # distinct words that decide about a column
Blame = Callable[[int, str, str], DataError]  # row, column, problem -> an error that names the place


def is_number(cells: pd.Series) -> bool:
    """Return whether a column holds numbers rather than categories."""
    return cells.dtype.kind in "iuf"


def settled(cells: pd.Series, blame: Blame) -> pd.Series:
    """Return the column as finite numbers, NaN where missing, if most of its cells are numbers; else unchanged.

    Raises:
        DataError: a cell among numbers is not one, or is not finite in 32 bits.
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
            return as_numbers(cells, blame, f"{cure}; if the column is text, set data.text=[{cells.name}]")
    return cells


def as_numbers(cells: pd.Series, blame: Blame, cure: str = "") -> pd.Series:
    """Return the column as float64, NaN where missing.

    Raises:
        DataError: a cell is not a number, or is not finite in 32 bits.
    """
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


def why_unusable(cells: pd.Series) -> str:
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


def in_memory(row: int, column: str, problem: str) -> DataError:
    """Return an error about a cell of a table without a file."""
    return DataError(f"row {row}, column {column!r}: {problem}")
