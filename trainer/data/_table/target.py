"""Decide what a table's target is: a number to predict, or classes; and refuse one that is neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data._table.encoder import Blame, Target, is_number, label, refuse
from trainer.data._table.file import TableFile
from trainer.data._table.numerals import read_numbers
from trainer.data._textfile import bracketed, listed, rare
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 1000
FEW = 20  # distinct whole numbers up to which a target may mean classes


def infer_target(
    cells: pd.Series, task: str, classes: Sequence[str], blame: Blame, where: str, file: TableFile | None
) -> tuple[Target, tuple[str | float, ...], list[str]]:
    """Return the target, its classes as they are written, and notes, which explain a task that was inferred.

    The target's values must fit the task.
    """
    name = str(cells.name)
    counts = cells.value_counts()
    counts = counts[counts > 0]
    values: list[Any] = list(classes) or sorted(counts.index.tolist())
    found = f"{where}the target {name!r} has {len(values):,} different values, {listed(values, of=label)}"
    whole = is_number(cells) and len(values) <= FEW and all(float(value).is_integer() for value in values)
    if len(values) < 2:
        raise DataError(
            f"{where}the target {name!r} is {label(values[0])} in all {len(cells):,} rows: nothing to learn"
        )
    names: tuple[str | float, ...] = tuple(values)
    notes: list[str] = []
    inferred = task == "auto"
    if task == "auto":
        if len(values) == 2:
            task, why = "binary", "has the values {} and {}"
        elif not is_number(cells) or _are_classes(values):
            task, why = "multiclass", f"has {len(values)} classes"
        else:
            task, why = "regression", f"has {len(values):,} different numbers"
        if task == "regression":
            _check_stray(cells, counts, blame)
        if task == "regression" and whole:
            why = f"has {len(values)} whole numbers, {listed(values, of=label)}"
            why += "; data.task=multiclass makes them classes"
    if file and is_number(cells) and task != "regression" and len(values) <= MAX_CLASSES:
        names, notes = _as_written(values, name, file)
    if inferred:
        notes.insert(0, f"task {task}: the target {name!r} {why.format(*map(label, names))}")
    if task == "regression":
        if not is_number(cells):
            raise DataError(f"{found}: text; a regression needs numbers")
        return Target(name, task), (), notes
    if task == "binary" and len(values) != 2:
        if is_number(cells):
            _check_stray(cells, counts, blame)
        raise DataError(f"{found}; binary needs 2")
    if len(values) > min(MAX_CLASSES, len(cells) / 2):
        raise DataError(f"{found} in {len(cells):,} rows; too many for classes")
    if not is_number(cells) and not classes:
        notes += variants(cells)
    notes += rare({label(name): int(counts.get(value, 0)) for name, value in zip(names, values, strict=True)}, "rows")
    return Target(name, task, tuple(values)), names, notes


def _as_written(values: Sequence[float], name: str, file: TableFile) -> tuple[tuple[str | float, ...], list[str]]:
    """Return numbers or truth values as the file writes them most often, if not plainly; and a note on others."""
    counts = file.spellings(name).most_common()
    words = [word for word, _ in counts]
    read = read_numbers(words, np.array([count for _, count in counts]), file.style).values
    forms: dict[float, list[str]] = {}
    for word, value in zip(words, read.tolist(), strict=True):
        forms.setdefault(value, []).append(word)
    found = [forms.get(value, [label(value)]) for value in values]
    notes = [
        f"one class: {' = '.join(some)}; data.text={bracketed([name])} keeps them apart" for some in found if some[1:]
    ]
    if all(some[0] == label(value) for some, value in zip(found, values, strict=True)):
        return tuple(values), notes
    return tuple(some[0] for some in found), notes


def variants(cells: pd.Series) -> list[str]:
    """Return a note on words of a column that differ in case or blanks only."""
    groups: dict[str, list[str]] = {}
    for word in cells.cat.categories:
        groups.setdefault(" ".join(str(word).casefold().split()), []).append(str(word))
    same = [" and ".join(words) for words in groups.values() if len(words) > 1]
    return [f"{cells.name}: differ in case or blanks only: {listed(same)}"] if same else []


def _are_classes(values: Sequence[Any]) -> bool:
    """Return whether sorted numbers mean classes if nothing else is said: any two, or 0, 1, 2, ... up to `FEW`."""
    return len(values) == 2 or (2 < len(values) <= FEW and list(values) == list(range(len(values))))


def _check_stray(cells: pd.Series, counts: pd.Series, blame: Blame) -> None:
    """Raise a DataError if a target of numbers would be classes without a few rows, which look like mistakes.

    These are, beside 0 and 1, any others, and else fractions or negative numbers: less than a tenth of the rows, or a
    fiftieth beside more classes, as ratings have halves; and one or two values, or fewer rows than each class has.
    """
    values, rows = counts.index.to_numpy(np.float64), counts.to_numpy()
    broken = values % 1 != 0
    for odd in ((values != 0) & (values != 1), broken, broken | (values < 0)):
        classes, few = sorted(values[~odd]), rows[odd].sum()
        if not 0 < few < rows.sum() / (10 if len(classes) == 2 else 50) or not all(
            value.is_integer() for value in classes
        ):
            continue
        if _are_classes(classes) and (odd.sum() <= 2 or few < rows[~odd].min()):
            names = [label(value) for value in classes]
            problem = f"where nearly all rows are {', '.join(names[:-1])} or {names[-1]}, among the values "
            problem += f"{listed(sorted(values), FEW, label)}; if that is right, set"
            refuse(cells, cells.isin(values[odd]), f"{problem} data.task=regression or multiclass", blame)
