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

OWNER = re.compile(  # in the singular: users is a number of users
    r"(person|patient|subject|participant|user|customer|client|member|household|family|student|pupil|employee|animal"
    r"|donor|device|machine|vehicle|author|speaker|writer|account|ticket|session)(?!s)",
    re.IGNORECASE,
)
FEWEST, SMALLEST, LARGEST = 20, 1.2, 50  # values, and rows of each on average
SURE = 4.0  # standard errors by which rows of one value are more alike than neighbours
# Difference of rows of one value, as a part of that of neighbours: in one column if the name or the words are those of
# ids, in two columns otherwise, which a coded category that the target depends on does not reach.
LOOSE, CLOSE, FIXED = 0.9, 0.5, 0.1
RELATED = 0.3  # rank correlation with another column, from which a column is a measurement
PAIRS = 10  # of rows of one value, and of neighbours


def group(pool: Pool, column: Column) -> Iterator[Finding]:
    """Yield a column of ids that lie in more than one split, unless splits follow each other in time."""
    values = column.values
    if pool.is_in_time or column.is_missing.any() or (column.words is None and (values % 1).any()):
        return
    _, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if len(sizes) < FEWEST or not SMALLEST <= len(values) / len(sizes) <= LARGEST:
        return
    in_split = np.zeros((len(sizes), len(pool.parts)), dtype=bool)
    in_split[codes, pool.split] = True
    num_shared = int((in_split.sum(1) > 1).sum())
    is_named = bool(KEY.search(column.name) or OWNER.search(column.name))
    if not num_shared or not (found := _alike(pool, column, is_named)):
        return
    size = f"{len(sizes):,} values, {len(values) / len(sizes):.1f} {pool.called} each"
    what = f"{column.name} has {size}; {num_shared:,} are in more than one split, and their {pool.called} are alike in"
    cure = f"data.group={column.name} keeps them together"
    yield Finding("group", f"{what} {', '.join(found[:3])}", num_shared, columns=[column.name], cure=cure)


def _alike(pool: Pool, column: Column, is_named: bool) -> list[str]:
    """Return the columns, most alike first, in which rows of one value are, if that makes the column one of ids."""
    is_category = column.words is not None and column.is_feature and not is_named
    if is_category and not _are_codes(column.words or ()):
        return []
    order = neighbours(column.values)
    is_same = np.diff(column.values[order]) == 0
    if min(is_same.sum(), (~is_same).sum()) < PAIRS:
        return []
    limit, least = (FIXED, 2) if is_category else (LOOSE, 1) if is_named else (CLOSE, 1 if column.words else 2)
    parts: dict[str, float] = {}
    for other in (pool.target, *pool.columns()):
        if other.name == column.name:
            continue
        ranks = other.codes
        if column.words is None and other.words is None and _correlation(column, ranks) > RELATED:
            if not is_named:
                return []
            limit = CLOSE
        steps = np.diff(ranks[order])
        steps = np.abs(steps) if other.words is None else steps != 0
        same, near = steps[is_same], steps[~is_same]
        error = math.sqrt(same.var() / len(same) + near.var() / len(near))
        if near.mean() - same.mean() > SURE * error:
            parts[other.name] = same.mean() / near.mean()
    alike = [name for name in sorted(parts, key=parts.__getitem__) if parts[name] < limit]
    return alike if len(alike) >= least else []


def _are_codes(words: Sequence[str]) -> bool:
    """Return whether most words have a digit, as P012."""
    return 2 * sum(bool(re.search(r"\d", word)) for word in words) > len(words)


def _correlation(column: Column, ranks: np.ndarray) -> float:
    """Return the size of the rank correlation of Spearman."""
    if not ranks.any():
        return 0.0
    return abs(float(np.corrcoef(column.codes, ranks)[0, 1]))
