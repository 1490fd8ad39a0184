"""Which columns of a table are features: no keys, no free text, nothing that tells rows apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from trainer.data._table.encoder import is_number
from trainer.data._textfile import bracketed

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 100
SAMPLE = 10_000  # distinct words that decide about a column
KEY = re.compile(  # name of a column that tells rows apart
    r"(^|[_\s.-])(ids?|idx|index|key|uuid|guid|nr|no|num|number|rows?|row_?n(um|umber|ames?)|serial|case|record|obs)\.?$"
    r"|(?-i:[a-z](I[Dd]|Nr|No|Num|Number|Key|Index)$)|nummer$|^lfd|^unnamed:|^column \d+$|^#$",
    re.IGNORECASE,
)


def flaw_of(cells: pd.Series, keep: bool) -> str:
    """Return why a column cannot or, unless to `keep`, should not be a feature, in a word or two; empty if it can."""
    num_cells = cells.count()
    if not num_cells:
        return "empty"
    if keep:
        return ""
    if is_number(cells):
        return _key(cells)
    counts = cells.value_counts()
    words = counts.index[counts > 0]
    if len(words) <= min(MAX_CATEGORIES, num_cells / 2):
        return ""
    if len(words) <= num_cells / 2:
        return f"{len(words):,} categories"
    return "free text" if np.mean([" " in word for word in words[:SAMPLE]]) > 0.5 else "identifier"


def _key(cells: pd.Series) -> str:
    """Return why numbers are no measurements: a column called id, index or so whose whole numbers all differ."""
    if not KEY.search(str(cells.name)) or not cells.is_unique:
        return ""
    values = cells.to_numpy(np.float64)
    is_whole = len(values) >= 10 and np.isfinite(values).all() and not (values % 1).any()
    return f"unique key; data.keep={bracketed([cells.name])} uses it" if is_whole else ""


def counts_rows(cells: pd.Series) -> bool:
    """Return whether numbers count the rows of the file, from any number on, in any order."""
    values = np.unique(cells.to_numpy(np.float64))
    return len(values) == len(cells) >= 10 and values[-1] - values[0] == len(values) - 1 and not (values % 1).any()
