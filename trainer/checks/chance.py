"""How many pairs of equal rows a table has anyway, if nothing was copied.

Rows of a few categories repeat, and rows of measurements do not. Between these, two estimates are taken, and the larger
one counts: of independent columns, two rows are equal with the product of each column's probability; and where columns
depend on each other, from pairs of rows that differ in one or two columns only. If agreement in one column is
independent of that in another among rows that agree in all others, pairs that agree in all are as many as those that
differ in the first, times those that differ in the second, over those that differ in both, as in capture-recapture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch

MOST = 60  # columns whose probabilities are multiplied, the most telling: fewer only make the estimate larger
NEAREST = 8  # columns in which most pairs of rows differ alone
FEW = 20  # rows of each value, on average, from which a column may stand for others
COMMON = 0.05  # pairs by chance, as a part of the rows, from which rows cannot be told apart
RATIO, LEVEL = 3.0, 1e-3  # copies are so many times the estimate, and so improbable


def hashed(values: np.ndarray, seed: int) -> np.ndarray:
    """Map values `(N,)`, float64 or int64, to random numbers uint64, whose sums over columns tell rows apart.

    These are SplitMix64 (Steele et al. 2014, Fast splittable pseudorandom number generators).
    """
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)  # NaN and zero have several forms
    mixed = values.view(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def pairs(keys: np.ndarray) -> int:
    """Count pairs of equal keys."""
    counts = np.unique(keys, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def is_beyond_chance(columns: Sequence[np.ndarray]) -> bool:
    """Return whether a table's columns, hashed `(N,)` uint64 each, have more equal rows than they would by chance."""
    if not (found := pairs(added(columns))):
        return False
    expected = by_chance(columns)
    return expected < COMMON * len(columns[0]) and exceeds(found, expected)


def exceeds(found: int, expected: float) -> bool:
    """Return whether a count is more than a Poisson variable of this mean would be, and by `RATIO`."""
    if found < RATIO * expected:
        return False
    count, mean = torch.tensor([found, expected], dtype=torch.float64)
    return torch.special.gammainc(count, mean).item() < LEVEL  # P(X >= count)


def by_chance(columns: Sequence[np.ndarray]) -> float:
    """Estimate the number of pairs of equal rows without copies."""
    size = len(columns[0])
    total = size * (size - 1) / 2
    alike = {place: pairs(column) / total for place, column in enumerate(columns)}
    telling = sorted(alike, key=alike.__getitem__)[:MOST]
    free = _without_determined([columns[place] for place in telling])
    independent = total * math.prod(alike[telling[place]] for place in free)
    return max(independent, _from_near_pairs(columns))


def _without_determined(columns: Sequence[np.ndarray]) -> list[int]:
    """Return the places of columns that no other column of few values determines, among 2000 rows."""
    some = [column[:: -(-len(column) // 2000)] for column in columns]
    distinct = [len(np.unique(column)) for column in some]
    order = sorted(range(len(some)), key=lambda place: -distinct[place])
    kept: list[int] = []
    for place in order:
        heads = [other for other in kept if FEW * distinct[other] <= len(some[other])]
        if not any(len(np.unique(some[other] + some[place])) == distinct[other] for other in heads):
            kept.append(place)
    return kept


def _from_near_pairs(columns: Sequence[np.ndarray]) -> float:
    """Return the median, over pairs of columns, of the estimate from rows that differ in these columns alone."""
    whole = added(columns)
    equal = pairs(whole)
    alone = {place: pairs(whole - columns[place]) - equal for place in range(len(columns))}
    nearest = [place for place in sorted(alone, key=lambda place: -alone[place])[:NEAREST] if alone[place]]
    found = []
    for one, other in combinations(nearest, 2):
        both = pairs(whole - columns[one] - columns[other]) - equal - alone[one] - alone[other]
        found.append(alone[one] * alone[other] / max(1, both))
    middle = float(np.median(found)) if found else 0.0
    return middle + 2 * math.sqrt(middle)  # it comes from counts as small as itself


def added(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number for each row, the same for equal ones, from those of its cells."""
    return np.stack(columns).sum(axis=0, dtype=np.uint64)
