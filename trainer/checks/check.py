"""Look for what makes a test split tell too much or too little: copies, ids, leaks of the target, groups, shifts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainer.checks.columns import constant, numbering
from trainer.checks.copies import copies
from trainer.checks.findings import Finding
from trainer.checks.groups import group
from trainer.checks.labels import rare
from trainer.checks.lookalikes import brightness, lookalikes
from trainer.checks.pool import Column, Pool
from trainer.checks.predictors import predictor
from trainer.checks.shifts import shift
from trainer.data._vocabulary import PADDING
from trainer.data.tensors import DataSpec, Splits

LINES = 5  # about a run's data
NOTED = ("constant", "numbering", "rare class")  # what the notes of the data say already


def check(pool: Pool) -> list[Finding]:
    """Return all that is found."""
    found = [*copies(pool)]
    if pool.spec.kind == "image" and not pool.is_short:
        found += lookalikes(pool)
    found += rare(pool)
    for column in pool.columns():
        for look in (constant, numbering, predictor, group):
            found += look(pool, column)
    for column, split in _compared(pool):
        found += shift(pool, column, split)
    return found


def _compared(pool: Pool) -> Iterator[tuple[Column, np.ndarray]]:
    """Yield what splits are compared by, target, columns and what describes inputs; and the split of each value."""
    places = pool.some(pool.independent)
    for column in (pool.target, *pool.columns()):
        yield column.at(places), pool.split[places]
    if pool.spec.kind == "tokens":
        length = np.concatenate([(part.inputs != PADDING).sum(1).double().numpy() for part in pool.parts])
        yield Column("length in tokens", length[places]), pool.split[places]
    if pool.spec.kind == "image" and not (pool.is_short and hasattr(pool.parts[0].inputs, "paths")):
        yield from brightness(pool)


def in_short(splits: Splits, spec: DataSpec) -> list[str]:
    """Return what a short check finds, in a few lines for the start of a run, without what the data's notes say."""
    found = [one for one in check(Pool(splits, spec, is_short=True)) if one.kind not in NOTED]
    more = f"; {len(found) - LINES:,} findings more" if len(found) > LINES else ""
    lines = [f"check: {one.line(1)}" for one in found[:LINES]]
    return [*lines, f"check: dltrain check lists all examples{more}"] if found else []
