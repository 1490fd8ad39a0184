"""Find out whether a table's target is a value or a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.data._table.columns import Blame, is_number, label, refuse
from trainer.data._table.encoder import Target
from trainer.data._textfile import listed
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 1000
FEW = 20  # distinct whole numbers up to which a target may mean classes


def infer_target(
    cells: pd.Series, task: str, classes: Sequence[str], blame: Blame, where: str
) -> tuple[Target, list[str]]:
    """Return the target and notes, which explain a task that was inferred.

    Raises:
        DataError: the target is constant, or its values do not fit the task.
    """
    name = str(cells.name)
    counts = cells.value_counts()
    counts = counts[counts > 0]
    values = list(classes) or sorted(counts.index.tolist())
    found = f"{where}the target {name!r} has {len(values):,} different values, {listed(values, of=label)}"
    whole = is_number(cells) and len(values) <= FEW and all(float(value).is_integer() for value in values)
    if len(values) < 2:
        raise DataError(
            f"{where}the target {name!r} is {label(values[0])} in all {len(cells):,} rows: nothing to learn"
        )
    notes = []
    if task == "auto":
        if len(values) == 2:
            task, why = "binary", f"has the values {label(values[0])} and {label(values[1])}"
        elif not is_number(cells) or (whole and values == list(range(len(values)))):
            task, why = "multiclass", f"has {len(values)} classes"
        else:
            task, why = "regression", f"has {len(values):,} different numbers"
        if task == "regression" and whole:
            _check_binary(cells, counts, blame)
            why = f"has {len(values)} whole numbers, {listed(values, of=label)}"
            why += "; data.task=multiclass makes them classes"
        notes.append(f"task {task}: the target {name!r} {why}")
    if task == "regression":
        if not is_number(cells):
            raise DataError(f"{found}: text; a regression needs numbers")
        return Target(name, task), notes
    if task == "binary" and len(values) != 2:
        _check_binary(cells, counts, blame)
        raise DataError(f"{found}; binary needs 2")
    if len(values) > min(MAX_CLASSES, len(cells) / 2):
        raise DataError(f"{found} in {len(cells):,} rows; too many for classes")
    rare = [f"{label(value)} ({counts[value]})" for value in values if counts.get(value, 0) < 5]
    notes += [f"classes with few rows: {listed(rare)}"] if rare else []
    return Target(name, task, tuple(values)), notes


def _check_binary(cells: pd.Series, counts: pd.Series, blame: Blame) -> None:
    """Raise a DataError if nearly all rows are 0 or 1, so that the others look like mistakes."""
    others = ~cells.isin([0, 1])
    if {0, 1} <= set(counts.index) and 0 < others.mean() < 0.1:
        values = listed(sorted(counts.index), FEW, label)
        problem = f"where nearly all rows are 0 or 1, among the values {values}; if that is right, set"
        refuse(cells, others, f"{problem} data.task=regression or multiclass", blame)
