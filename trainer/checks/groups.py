"""Columns whose values are shared by a few rows each, such as the number of a patient, and lie in several splits.

A model recognises the patient in the test split. With the rows in the order of the column, those of one patient are
more alike than neighbours of two, in the target or in other columns. That tells ids from measurements, whose
neighbouring values are as alike as equal ones, and from columns that have nothing to do with the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool
from trainer.checks.predictors import neighbours
from trainer.data._table.features import KEY
from trainer.data._textfile import bracketed, listed

OWNER = re.compile(
    r"person|patient|subject|participant|user|customer|client|member|household|family|student|pupil|employee|animal"
    r"|donor|device|machine|vehicle|author|speaker|writer|account|ticket|session",
    re.IGNORECASE,
)
FEWEST, FEWEST_NAMED = 20, 10  # values of a column; of one that is called patient or the like
SMALLEST, LARGEST = 1.2, 50  # rows of each value on average; of a patient, there may be more
FEW = 20  # rows of each value, up to which a name such as id or nr counts: a state_id has more
SURE = 4.0  # standard errors by which rows of one value are more alike than neighbours
# Difference of rows of one value, as a part of that of neighbours, in one column if the name is that of ids. Else they
# are alike in the target and in two columns: a category has one of both, the target or what it stands for.
LOOSE, CLOSE, FIXED = 0.9, 0.5, 0.1
RELATED = 0.3  # rank correlation with another column, from which a column of many values is a measurement
PAIRS = 10  # of rows of one value, and of neighbours
SOME, SOME_IN_SHORT = 200_000, 20_000  # rows that are compared


def group(pool: Pool, column: Column) -> Iterator[Finding]:
    """Yield a column of ids that lie in more than one split, unless splits follow each other in time."""
    values = column.values
    if pool.is_in_time or column.is_missing.any() or (column.words is None and (values % 1).any()):
        return
    codes = column.codes
    sizes = np.bincount(codes)
    each = len(values) / len(sizes)
    is_owner = bool(OWNER.fullmatch(column.name))
    is_named = is_owner or (each <= FEW and bool(KEY.search(column.name)))
    if len(sizes) < (FEWEST_NAMED if is_owner else FEWEST) or each < SMALLEST or (each > LARGEST and not is_owner):
        return
    in_split = np.zeros((len(sizes), len(pool.parts)), dtype=bool)
    in_split[codes, pool.split] = True
    num_shared = int((in_split.sum(1) > 1).sum())
    if not num_shared or not (found := _alike(pool, column, is_named)):
        return
    what = f"{column.name} has {len(sizes):,} values, {each:.1f} {pool.called} each, which are alike"
    what += f" in {listed(found, 3)}; {num_shared:,} of the values are in more than one split"
    cure = f"data.group={bracketed([column.name])[1:-1]} keeps them together"
    yield Finding("group", what, num_shared, columns=[column.name], cure=cure)


def _alike(pool: Pool, column: Column, is_named: bool) -> list[str]:
    """Return the columns, most alike first, in which rows of one value are, if that makes the column one of ids."""
    is_category = column.words is not None and column.is_feature and not is_named
    if is_category and not _are_codes(column.words or ()):
        return []
    chosen = _some(column.codes, SOME_IN_SHORT if pool.is_short else SOME)
    column = column.at(chosen)
    order = neighbours(column.values)
    is_same = np.diff(column.values[order]) == 0
    if min(is_same.sum(), (~is_same).sum()) < PAIRS:
        return []
    limit, least = (LOOSE, 1) if is_named else (FIXED if is_category else CLOSE, 2)
    related = RELATED + 2 / math.sqrt(column.codes.max() + 1)
    parts: dict[str, float] = {}
    for other in (pool.target, *pool.columns()):
        if other.name == column.name:
            continue
        ranks = other.at(chosen).codes
        if other.words is not None and len(np.unique(column.codes * len(ranks) + ranks)) == ranks.max() + 1:
            continue  # each of its words stands for one value: the same ids once more
        if column.words is None and other.words is None and _correlation(column, ranks) > related:
            if not is_named:
                return []
            limit = CLOSE
        steps = np.diff(ranks[order])
        steps = np.abs(steps) if other.words is None else steps != 0
        same, near = steps[is_same], steps[~is_same]
        error = near.std() * math.sqrt(1 / len(same) + 1 / len(near))
        if near.mean() - same.mean() > SURE * error:
            parts[other.name] = same.mean() / near.mean()
    alike = [name for name in sorted(parts, key=parts.__getitem__) if parts[name] < limit]
    is_told = is_named or pool.target.name in parts
    return alike if is_told and len(alike) >= least else []


def _some(codes: np.ndarray, most: int) -> np.ndarray:
    """Return the places of all rows or, of more than `most`, those of ten ranges of neighbouring values."""
    num_values = int(codes.max()) + 1
    return np.flatnonzero(codes * 10 % num_values * len(codes) <= num_values * most)


def _are_codes(words: Sequence[str]) -> bool:
    """Return whether most words have a digit, as P012."""
    return 2 * sum(bool(re.search(r"\d", word)) for word in words) > len(words)


def _correlation(column: Column, ranks: np.ndarray) -> float:
    """Return the size of the rank correlation of Spearman."""
    if not ranks.any():
        return 0.0
    return abs(float(np.corrcoef(column.codes, ranks)[0, 1]))
