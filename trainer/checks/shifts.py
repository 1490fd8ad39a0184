"""Columns whose values are distributed differently in another split than in training.

Numbers are compared by Kolmogorov and Smirnov's distance, words and classes by Pearson's chi-square test. A difference
counts if it is more than chance at `LEVEL` over all columns and splits together (Bonferroni), and at least `LEAST`: of
many examples, some differences are certain and too small to matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool

LEVEL, LEAST = 1e-4, 0.05
EXPECTED = 10  # examples of a word in a split; rarer words are counted together


def shift(pool: Pool, column: Column, split: np.ndarray) -> Iterator[Finding]:
    """Yield the difference of a column between training and another split; `split` `(n,)` is that of each value."""
    if not column.is_feature:
        return
    values = column.values
    level = LEVEL / (max(1, len(pool.parts) - 1) * (1 + len(pool.column_names)))
    for number in range(len(pool.parts) - 1, 0, -1):
        here, there = values[split == 0], values[split == number]
        what = _of_numbers(here, there, level) if column.words is None else _of_words(column, here, there, level)
        if what:
            what = f"{column.name}: training and {pool.names[number]} differ, {what}"
            yield Finding("shift", what, len(there), columns=[column.name])
            return


def _of_numbers(here: np.ndarray, there: np.ndarray, level: float) -> str:
    distance = ks_distance(*(np.nan_to_num(values, nan=-np.inf) for values in (here, there)))
    limit = ks_limit(len(here), len(there), level)
    if distance < max(limit, LEAST):
        return ""
    medians = [f"{np.nanmedian(values):.4g}" if not np.isnan(values).all() else "missing" for values in (here, there)]
    return f"medians {' and '.join(medians)}; Kolmogorov-Smirnov distance {distance:.2f}, by chance up to {limit:.2f}"


def ks_distance(here: np.ndarray, there: np.ndarray) -> float:
    """Return the largest difference between two empirical distributions."""
    values = np.unique(np.concatenate([here, there]))
    shares = [np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (here, there)]
    return float(np.abs(shares[0] - shares[1]).max())


def ks_limit(num_here: int, num_there: int, level: float) -> float:
    """Return the distance that two samples of one distribution exceed with this probability, asymptotically."""
    return math.sqrt(-math.log(level / 2) / 2 * (1 / num_here + 1 / num_there))


def _of_words(column: Column, here: np.ndarray, there: np.ndarray, level: float) -> str:
    counts = np.stack([np.bincount(values + 1, minlength=len(column.words or ()) + 1) for values in (here, there)])
    shares = counts / counts.sum(1, keepdims=True)
    gap = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if gap < LEAST or chi_square_p(counts) > level:
        return ""
    most = int(np.abs(shares[0] - shares[1]).argmax())
    word = ["(missing)", *(column.words or ())][most]
    return f"{word!r} in {shares[0, most]:.1%} and {shares[1, most]:.1%}"


def chi_square_p(counts: np.ndarray) -> float:
    """Return the p-value of Pearson's test that counts `(2, K)` have one distribution; rare ones are joined."""
    share = counts.sum(1).min() / counts.sum()
    is_rare = counts.sum(0) * share < EXPECTED
    counts = np.concatenate([counts[:, ~is_rare], counts[:, is_rare].sum(1, keepdims=True)], axis=1)
    counts = counts[:, counts.sum(0) * share >= EXPECTED]
    if counts.shape[1] < 2:
        return 1.0
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    statistic = float((np.square(counts - expected) / expected).sum())
    return float(torch.special.gammaincc(*torch.tensor([counts.shape[1] - 1, statistic], dtype=torch.float64) / 2))
