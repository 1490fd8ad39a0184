"""Classes with fewer examples than the splits need."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainer.checks.findings import Finding
from trainer.checks.pool import SPLITS, Pool

EXPECTED = 5  # examples of a class that a split would have by its size, and has none of


def rare(pool: Pool) -> Iterator[Finding]:
    """Yield the classes that have too few examples for each split, are not trained on, or are missing from a split."""
    if pool.spec.task == "regression":
        return
    counts = np.stack(
        [np.bincount(pool.target.values[pool.split == n], minlength=pool.num_classes) for n in range(len(pool.parts))]
    )
    total, shares = counts.sum(0), np.array(pool.sizes) / len(pool)  # (K,), (splits,)
    expected = shares[:, None] * total
    lacking = (counts == 0) & ((expected >= EXPECTED) | (total < len(pool.parts)))
    lacking[0] |= counts[0] == 0
    if not lacking.any():
        return
    words = pool.target.words or ()
    names = []
    for label in np.flatnonzero(lacking.any(0)).tolist():
        of = ", ".join(f"{SPLITS[n]} {counts[n, label]}" for n in range(len(pool.parts)))
        names.append(f"{words[label]} ({of})")
    one = "class has" if len(names) == 1 else "classes have"
    yield Finding("rare class", f"{len(names):,} {one} no example in a split", len(names), names)
