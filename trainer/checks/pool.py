"""All splits of a data set in one, as checks look at them: `N` examples, and their columns one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data._table.encoder import TableEncoder, is_number
from trainer.data.tensors import DataSpec, Examples, Splits

SPLITS = ("training", "validation", "test")
CALLED = {"features": "rows", "image": "images", "tokens": "texts"}
SOME, WIDE = 20_000, 300  # examples of a split, and columns, that a short check looks at
NAMED, NAMED_IN_SHORT = 100, 1  # examples of a finding
Cells = tuple[np.ndarray, list[str] | None]  # numbers, or codes and their words


class Column(NamedTuple):
    """Values `(N,)`: float64 numbers, NaN where missing; or int64 codes of `words`, -1 where missing."""

    name: str
    values: np.ndarray
    words: Sequence[str] | None = None
    is_feature: bool = True

    @property
    def is_missing(self) -> np.ndarray:
        """Whether each value is missing, `(N,)`."""
        return np.isnan(self.values) if self.words is None else self.values < 0

    @property
    def codes(self) -> np.ndarray:
        """The rank of each value among the distinct ones, `(N,)`, from 0; missing numbers are last."""
        values = self.values
        low, high = values.min(initial=0), values.max(initial=0)
        if high - low > 4 * len(values) or np.isnan(high) or (values % 1).any():
            return np.unique(values, return_inverse=True)[1]
        places = (values - low).astype(np.int64)  # counting takes a tenth of the time of sorting
        return (np.cumsum(np.bincount(places) > 0) - 1)[places]

    def at(self, index: np.ndarray | slice) -> Column:
        """Select some values."""
        return self._replace(values=self.values[index])


class Pool:
    """The examples of all distinct splits, one split after the other; `is_short` limits those that are looked at."""

    def __init__(self, splits: Splits, spec: DataSpec, *, is_short: bool = False) -> None:
        self.spec, self.is_short = spec, is_short
        parts: dict[str, Examples] = {}
        for name, part in zip(SPLITS, (splits.train, splits.val, splits.test), strict=True):
            if not any(part is other for other in parts.values()):  # else one that stands in for another
                parts[name] = part
        self.names, self.parts = tuple(parts), tuple(parts.values())
        self.sizes = [len(part.targets) for part in self.parts]
        self.split = np.repeat(np.arange(len(self.parts)), self.sizes)  # (N,)
        self.starts = np.cumsum([0, *self.sizes])

    def __len__(self) -> int:
        """Return N."""
        return len(self.split)

    @property
    def most_named(self) -> int:
        """The number of examples to name for a finding; naming them may mean to read a file."""
        return NAMED_IN_SHORT if self.is_short else NAMED

    @property
    def called(self) -> str:
        """What examples are called: rows, images or texts."""
        return CALLED[self.spec.kind]

    @cached_property
    def target(self) -> Column:
        """The targets, in the units of the file, or classes."""
        values = torch.cat([part.targets.flatten() for part in self.parts]).double().numpy()
        if self.spec.task == "regression":
            return Column(self.spec.target_name, values * self.spec.target_std + self.spec.target_mean)
        names = self.spec.class_names or [str(number) for number in range(self.num_classes)]
        return Column(self.spec.target_name, values.astype(np.int64), names)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return 2 if self.spec.task == "binary" else self.spec.out_features

    @property
    def is_in_time(self) -> bool:
        """Whether the splits follow each other in time."""
        return any(part.source.is_in_time for part in self.parts)

    @cached_property
    def independent(self) -> np.ndarray:
        """Places of examples that are drawn independently: one of each group, all without groups."""
        if all(part.groups is None for part in self.parts):
            return np.arange(len(self))
        found = []
        for start, part in zip(self.starts, self.parts, strict=False):
            groups = np.arange(len(part.targets)) if part.groups is None else part.groups.numpy()
            found.append(start + np.sort(np.unique(groups, return_index=True)[1]))
        return np.concatenate(found)

    def some(self, index: np.ndarray) -> np.ndarray:
        """Return these places or, in a short check, evenly spaced ones of each split."""
        if not self.is_short:
            return index
        of = [index[self.split[index] == number] for number in range(len(self.parts))]
        return np.concatenate([places[:: len(places) // SOME + 1] for places in of])

    def rows(self, number: int) -> np.ndarray:
        """Return the rows of a split's examples in what they were made from."""
        rows = self.parts[number].rows
        return np.arange(self.sizes[number]) if rows is None else rows.numpy()

    def places(self, index: Sequence[int]) -> list[str]:
        """Call examples as a person would, such as line 12 of their file."""
        rows = [int(self.rows(self.split[i])[i - self.starts[self.split[i]]]) for i in index]
        sources = [self.parts[self.split[i]].source for i in index]
        found: dict[tuple[int, int], str] = {}
        for source in {id(source): source for source in sources}.values():  # one at a time: each reads its file
            of = [row for row, its in zip(rows, sources, strict=True) if its is source]
            found.update(zip(((id(source), row) for row in of), source.places(of), strict=True))
        return [found[id(source), row] for source, row in zip(sources, rows, strict=True)]

    def stored(self, places: Sequence[int] | np.ndarray) -> Tensor:
        """Return inputs `(n, ...)` as they are stored; the places are in the order of the splits."""
        found = []
        for start, end, part in zip(self.starts, self.starts[1:], self.parts, strict=False):
            index = [int(place - start) for place in places if start <= place < end]
            if index:
                found.append(part.inputs[index] if isinstance(part.inputs, Tensor) else part.inputs.read(index))
        return torch.cat(found)

    @property
    def texts(self) -> list[str]:
        """The examples as texts; none if they are not, or not kept."""
        if not all(part.source.texts for part in self.parts):
            return []
        return [part.source.texts[row] for n, part in enumerate(self.parts) for row in self.rows(n)]

    @cached_property
    def column_names(self) -> list[str]:
        """The columns besides the target, used or not."""
        if any(part.source.columns for part in self.parts):
            names = dict.fromkeys(name for part in self.parts for name in part.source.columns)
            return [name for name in names if name != self.spec.target_name]
        if self.spec.kind != "features":
            return []
        return [*(self.spec.feature_names or [f"input {n}" for n in range(self.spec.in_shape[0])])]

    @cached_property
    def features(self) -> set[str]:
        """The columns that become inputs."""
        return {*self.spec.encoder.names} if isinstance(self.spec.encoder, TableEncoder) else set()

    def columns(self) -> Iterator[Column]:
        """Yield the columns besides the target, as they are stored; some of many in a short check."""
        every = len(self.column_names) // WIDE + 1 if self.is_short else 1
        yield from (self.column(name) for name in self.column_names[::every])

    def column(self, name: str) -> Column:
        """Return the column of this name."""
        if not any(part.source.columns for part in self.parts):
            place = self.column_names.index(name)
            return Column(name, torch.cat([part.inputs[:, place] for part in self.parts]).double().numpy())
        cells = {id(part.source): _cells(part.source.columns.get(name)) for part in self.parts}
        found = [cells[id(part.source)] for part in self.parts]
        words: dict[str, int] | None = {} if any(each and each[1] is not None for each in found) else None
        values = [_taken(each, self.rows(number), words) for number, each in enumerate(found)]
        return Column(name, np.concatenate(values), None if words is None else [*words], name in self.features)


def _cells(cells: Any) -> Cells | None:
    """Return a column as numbers, or as codes and their words."""
    if cells is None:
        return None
    if isinstance(cells, list):
        words, codes = np.unique(np.array(cells, dtype=object).astype(str), return_inverse=True)
        return np.where(words[codes] == "", -1, codes), words.tolist()
    if is_number(cells):
        return cells.to_numpy(np.float64), None
    return cells.cat.codes.to_numpy(np.int64), [str(word) for word in cells.cat.categories]


def _taken(cells: Cells | None, rows: np.ndarray, words: dict[str, int] | None) -> np.ndarray:
    """Return the cells in these rows; as codes of `words`, which grow, if there are words."""
    if cells is None:
        return np.full(len(rows), np.nan if words is None else -1)
    values, own = cells
    if words is None:
        return values[rows]
    if own is None:  # numbers in one file, words in another
        distinct, codes = np.unique(values, return_inverse=True)
        own, values = [f"{value:.15g}" for value in distinct], np.where(np.isnan(values), -1, codes)
    numbers = np.array([words.setdefault(word, len(words)) for word in own] + [-1], dtype=np.int64)
    return numbers[values[rows]]
