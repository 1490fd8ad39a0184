"""Which columns of a table are features: no keys, no free text, nothing that tells rows apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer.data._table.encoder import is_number
from trainer.data._table.times import layout_of
from trainer.data._textfile import bracketed, listed

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 100
SAMPLE = 10_000  # distinct words that decide about a column
KEY = re.compile(  # name of a column that tells rows apart: of a number, a code, or of whom a row is about
    r"(^|[_\s.-])(ids?|idx|index|key|uuid|guid|nr|no|num|number|rows?|row_?n(um|umber|ames?)|serial|case|record|obs"
    r"|code|barcode|sku|ean|isbn|patient|subject|participant|respondent|proband|person|customer|client|kunde|user|member"
    r"|employee|student|passenger)\.?$"
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
    is_key = bool(KEY.search(str(cells.name))) and _all_differ(cells.to_numpy(np.float64))
    return f"unique key; data.keep={bracketed([cells.name])} uses it" if is_key else ""


def suspicions(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return notes on columns of numbers that may not be meant as features: counts of rows, keys, and times."""
    counting, keys, times = list[str](), list[str](), dict[str, str]()
    for name in names:
        if not is_number(frame[name]):
            continue
        values = frame[name].to_numpy(np.float64)
        if layout := layout_of(values):
            times[name] = f"{name} ({values[values > 0][0]:.15g}, {layout})"
        elif _all_differ(values):
            (counting if _counts_rows(values) else keys).append(name)
    found = [
        ("counts the rows", counting, counting),
        ("maybe a key, as whole numbers that all differ", keys, keys),
        ("times read as one number", [*times], [*times.values()]),
    ]
    return [
        f"{what}: {listed(said)}; data.drop={bracketed(some[:5])} leaves it out" for what, some, said in found if some
    ]


def _counts_rows(values: np.ndarray) -> bool:
    """Return whether numbers that all differ count the rows of the file, from any number on, in any order."""
    return bool(values.max() - values.min() == len(values) - 1)


def _all_differ(values: np.ndarray) -> bool:
    """Return whether all of at least ten numbers are whole, and no two alike."""
    if len(values) < 10 or not np.isfinite(values).all() or (values % 1).any():
        return False
    return all(len(np.unique(some)) == len(some) for some in (values[:1000], values))
