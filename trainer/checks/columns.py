"""Columns that say nothing of an example: one value in all rows, or numbers of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool
from trainer.data._table.features import KEY
from trainer.data._textfile import bracketed

LEAST = 10  # rows that show that a column numbers them
SPAN = 1.1  # whole numbers that all differ count rows if their range is at most this many times their number


def constant(pool: Pool, column: Column) -> Iterator[Finding]:
    """Yield a feature with one value."""
    if column.is_feature and (column.values == column.values[0]).all():
        what = f"{column.name} is the same in all {pool.called}"
        yield Finding("constant", what, len(pool), columns=[column.name], cure=dropped(column))


def numbering(pool: Pool, column: Column) -> Iterator[Finding]:
    """Yield a feature that numbers the rows, or rises or falls with every row, in whole numbers."""
    if not column.is_feature or pool.spec.encoder is None:
        return
    what = ""
    if numbers_rows(column):
        what = f"{column.name} numbers the {pool.called}: it differs in each"
    elif column.words is None and not (column.values % 1).any() and len(column.values) >= LEAST:
        shared = [part.source is pool.parts[0].source for part in pool.parts]
        rows = np.concatenate([pool.rows(number) for number, is_shared in enumerate(shared) if is_shared])
        steps = np.diff(column.values[np.array(shared)[pool.split]][rows.argsort()])
        if (steps > 0).all() or (steps < 0).all():
            what = f"{column.name} {'rises' if steps[0] > 0 else 'falls'} from each row of the file to the next"
    if what:
        yield Finding("numbering", what, len(column.values), columns=[column.name], cure=dropped(column))


def numbers_rows(column: Column) -> bool:
    """Return whether a column's values all differ, and are whole numbers in one range, or called a key."""
    values = column.values
    if len(values) < LEAST or column.is_missing.any() or len(np.unique(values)) < len(values):
        return False
    if column.words is not None:
        return column.is_feature or bool(KEY.search(column.name))
    is_range = values.max() - values.min() <= SPAN * len(values)
    return not (values % 1).any() and (is_range or bool(KEY.search(column.name)))


def dropped(column: Column) -> str:
    """Return the setting that leaves a column out."""
    return f"data.drop={bracketed([column.name])} leaves it out"
