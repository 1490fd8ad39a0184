"""Read the columns that say how rows are divided: groups that stay together, times, and the split of each row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data.division import Division, Parts, as_told
from trainer.errors import DataError

DATES = (
    "ISO8601",
    *(f"{day}{time}" for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y") for time in ("", " %H:%M", " %H:%M:%S")),
)
Blame = Callable[[int, str], DataError]  # place of a cell, what is wrong with it


class Divided(NamedTuple):
    """The rows of each split, and the group of each row, `(N,)`, if rows are grouped."""

    parts: Parts
    groups: Tensor | None = None


def divided(division: Division, labels: Tensor, columns: Mapping[str, Sequence[Any]], blame: Blame) -> Divided:
    """Divide rows with these labels by `columns`: `group`, `time` or `split`, with a cell for each row; None is empty.

    Raises:
        DataError: a cell that is empty or that cannot be read, or an empty split.
        ValueError: two of the columns exclude each other.
    """
    if len(columns) > 1:
        raise ValueError(f"rows are divided by one of {' and '.join(columns)}, not by all")
    for name, cells in columns.items():
        if (empty := next((place for place, cell in enumerate(cells) if _is_empty(cell)), None)) is not None:
            raise blame(empty, f"where data.{name} expects a value")
    if "split" in columns:
        words = [str(cell) for cell in columns["split"]]
        try:
            return Divided(as_told(words, labels, division))
        except DataError as error:
            raise DataError(f"data.split: {error}") from error
    if "time" in columns:
        return Divided(division.parts(labels, time=_times(columns["time"], blame)))
    groups = numbered(columns["group"]) if "group" in columns else None
    return Divided(division.parts(labels, groups=groups), groups)


def _is_empty(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def numbered(cells: Sequence[Any]) -> Tensor:
    """Number equal cells alike, `(N,)` int64."""
    return torch.from_numpy(np.unique([str(cell) for cell in cells], return_inverse=True)[1])


def _times(cells: Sequence[Any], blame: Blame) -> Tensor:
    """Return numbers that order the cells in time, `(N,)`: numbers as they are, else dates."""
    if not any(isinstance(cell, str) for cell in cells):
        return torch.tensor(np.asarray(cells, dtype=np.float64))
    import pandas as pd

    words = pd.Series([str(cell) for cell in cells])
    if (numbers := pd.to_numeric(words, errors="coerce")).notna().all():
        return torch.from_numpy(numbers.to_numpy(np.float64, copy=True))
    read = [pd.to_datetime(words, errors="coerce", utc=True, format=form) for form in DATES]
    whole = [dates for dates in read if dates.notna().all()]
    if not whole:
        most = max(read, key=lambda dates: dates.notna().sum())
        raise blame(int(most.isna().to_numpy().argmax()), "is neither a number nor a date such as 2024-01-31 12:00")
    if not all(dates.equals(whole[0]) for dates in whole):
        raise blame(0, "may be day and month or month and day; write dates such as 2024-01-31")
    return torch.from_numpy(whole[0].to_numpy(dtype="datetime64[ns]").astype(np.int64))
