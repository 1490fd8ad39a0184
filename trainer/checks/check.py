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


def check(pool: Pool) -> list[Finding]:
    """Return all that is found; in short, without what is slow to find, and what the notes of the data say already."""
    found = [*copies(pool)]
    if pool.spec.kind == "image" and not pool.is_short:
        found += lookalikes(pool)
    found += [] if pool.is_short else rare(pool)
    looks = (predictor, group) if pool.is_short else (constant, numbering, predictor, group)
    for column in pool.columns():
        for look in looks:
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
    """Return a line for each kind of finding of a short check, for the start of a run."""
    of_kind: dict[str, list[Finding]] = {}
    for one in check(Pool(splits, spec, is_short=True)):
        of_kind.setdefault(one.kind, []).append(one)
    lines = []
    for kind, found in of_kind.items():
        more = f"; {len(found) - 1:,} more like this" if len(found) > 1 else ""
        lines.append(f"{kind}: {found[0].line(1)}{more}")
    return [*lines, "dltrain check with these settings says more"] if lines else []
