"""Divide examples into training, validation and test split: by chance, by groups, in time, as told, or into folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data._split_names import NAMES, split_named
from trainer.errors import DataError

Parts = tuple[Tensor, Tensor, Tensor]  # sorted indices of the training, validation and test split


class Fold(NamedTuple):
    """Which of several equal parts of the data is the test split; `repeat` counts divisions by other random numbers."""

    number: int  # from 0
    of: int
    repeat: int = 0


@dataclass(frozen=True)
class Division:
    """How examples are divided: by fractions, or in cross-validation by a fold and the fraction for validation.

    Raises:
        ValueError: a fraction is not in [0, 1), or they leave nothing to train on.
    """

    val_fraction: float = 0.1
    test_fraction: float | None = 0.2  # None: a test split is given
    seed: int = 0
    fold: Fold | None = None

    def __post_init__(self) -> None:
        for name, given in [("val_fraction", self.val_fraction), ("test_fraction", self.test_fraction)]:
            if given is not None and not 0 <= given < 1:
                raise ValueError(f"{name}={given} is not between 0 and 1")
        if self.val_fraction + self.share >= 1:
            rest = f"folds={self.fold.of}" if self.fold else f"test_fraction={self.share}"
            raise ValueError(f"val_fraction={self.val_fraction} and {rest} leave nothing to train on")

    @property
    def share(self) -> float:
        """The fraction of the examples that become the test split."""
        return 1 / self.fold.of if self.fold else self.test_fraction or 0.0

    @property
    def uses_given_test(self) -> bool:
        """Whether a given test split is the run's; in cross-validation each fold is, and a given one stays aside."""
        return self.test_fraction is None and not self.fold

    def notes(self, given: str = "") -> tuple[str, ...]:
        """Return notes for the user; `given` is what holds a given test split."""
        if self.fold and self.test_fraction is None and given:
            return (f"fold {self.fold.number + 1} of {self.fold.of}: {given} is not used",)
        return ()

    def parts(self, labels: Tensor, *, groups: Tensor | None = None, time: Tensor | None = None) -> Parts:
        """Return the indices of the three splits of examples with these labels, each divided in these fractions.

        Examples with equal `groups` `(N,)` stay together. By `time` `(N,)`, training comes before validation, and that
        before testing; folds are then tested one after the other, each by a model of all before it (Hyndman and
        Athanasopoulos 2021, Forecasting: Principles and Practice, 5.10). A split with a fraction of 0 is the same
        object as the one before it.

        Raises:
            DataError: a split would be empty.
            ValueError: both groups and time are given.
        """
        labels = labels.flatten()
        if groups is not None and time is not None:
            raise ValueError("rows are divided by group or by time, not by both")
        if time is not None:
            found = self._in_time(time)
        else:
            found = self._by_chance(labels) if groups is None else self._by_group(labels, groups)
        train, val, test = ((found == number).nonzero().flatten() for number in range(3))
        for name, part, share in [
            ("train", train, 1),
            ("validation", val, self.val_fraction),
            ("test", test, self.share),
        ]:
            if share and not len(part):
                keys, what = (groups, "groups") if time is None else (time, "times")
                of_groups = f" in {len(keys.unique()):,} {what}" if keys is not None else ""
                how = f"folds={self.fold.of}" if self.fold else f"test_fraction={self.test_fraction or 0.0}"
                raise DataError(
                    f"the {name} split is empty: {len(labels)} examples{of_groups}, val_fraction={self.val_fraction}, "
                    f"{how}; use more examples or other fractions"
                )
        val = val if self.val_fraction else train
        return train, val, test if self.share or self.test_fraction is None else val

    def _generator(self) -> torch.Generator:
        repeat = self.fold.repeat if self.fold else 0
        mixed = np.random.SeedSequence((self.seed, repeat)).generate_state(1).item() if repeat else self.seed
        return torch.Generator().manual_seed(mixed)

    def _by_chance(self, labels: Tensor) -> Tensor:
        """Return the number of each example's split, 0 to 2, `(N,)`."""
        order = torch.randperm(len(labels), generator=self._generator())
        if not self.fold:
            return _cut(labels, order, (self.share, self.val_fraction))
        members = order[labels[order].argsort(stable=True)]
        dealt = torch.empty_like(members)
        dealt[members] = torch.arange(len(members)) % self.fold.of  # like cards, so that classes and folds are even
        found = torch.where(dealt == self.fold.number, 2, 0)
        rest = (found == 0).nonzero().flatten()
        order = torch.randperm(len(rest), generator=self._generator())
        val = self.val_fraction * len(labels) / max(1, len(rest))
        found[rest] = _cut(labels[rest], order, (0.0, val)) if val < 1 else 1
        return found

    def _by_group(self, labels: Tensor, groups: Tensor) -> Tensor:
        generator = self._generator()
        if not self.fold:
            shares = [1 - self.val_fraction - self.share, self.val_fraction, self.share]
            return _dealt(labels, groups, shares, generator)
        found = torch.where(_dealt(labels, groups, [self.share] * self.fold.of, generator) == self.fold.number, 2, 0)
        rest = (found == 0).nonzero().flatten()
        val = self.val_fraction * len(labels) / max(1, len(rest))
        found[rest] = _dealt(labels[rest], groups[rest], [max(0, 1 - val), val], generator)
        return found

    def _in_time(self, time: Tensor) -> Tensor:
        values, order = time.sort(stable=True)
        size = len(values)
        changes = (values.diff() != 0).nonzero().flatten() + 1  # equal times stay together

        def before(fraction: float, end: int) -> int:
            """Return the place before `end` nearest to the fraction where the time changes; 0 if there is none."""
            known = changes[changes < end]
            return int(known[(known - fraction * size).abs().argmin()]) if len(known) else 0

        end, begin, val = size, 1 - self.share, self.val_fraction
        if self.fold:
            for part in range(self.fold.of, self.fold.number + 1, -1):  # backwards, so that each part has a time
                end = before(part / (self.fold.of + 1), end)
            begin = (self.fold.number + 1) / (self.fold.of + 1)
            val *= begin
        start = before(begin, end) if self.share else end
        until = before(begin - val, start) if val else start
        found = torch.full((size,), -1)
        for number, (first, last) in enumerate([(0, until), (until, start), (start, end)]):
            found[order[first:last]] = number
        return found


def as_told(words: Sequence[str], labels: Tensor, division: Division) -> Parts:
    """Return the indices of the splits that each example's word names; a split that none names is cut from training.

    Raises:
        DataError: another word, or none for training.
        ValueError: a fold is asked for.
    """
    if division.fold:
        raise ValueError("split says what is trained on and what is tested; leave out folds=")
    named = {word: split_named(word.strip()) for word in {*words}}
    if unknown := sorted(word for word, split in named.items() if not split):
        raise DataError(f"{unknown[0]!r} names no split; expected train, val or test")
    pool, given_val, given_test = (
        torch.tensor([place for place, word in enumerate(words) if named[word] == split], dtype=torch.int64)
        for split in NAMES
    )
    if not len(pool):
        raise DataError("no row is for training; expected train, val or test")
    rest = Division(
        0.0 if len(given_val) else division.val_fraction,
        None if len(given_test) else division.test_fraction,
        division.seed,
    )
    train, val, test = (pool[part] for part in rest.parts(labels.flatten()[pool]))
    val = given_val if len(given_val) else val if rest.val_fraction else train
    return train, val, given_test if len(given_test) else test if rest.test_fraction else val


def tenths(values: Tensor) -> Tensor:
    """Return in which tenth of all each value is, `(N,)`, to divide a regression's examples evenly."""
    order = values.flatten().argsort(stable=True)
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order)) * 10 // len(order)
    return found


def _cut(labels: Tensor, order: Tensor, fractions: tuple[float, float]) -> Tensor:
    """Return 2 for the test split's fraction of each class, 1 for the validation split's and 0 for the rest, `(N,)`.

    Small classes are divided so that the splits have their fractions of all.
    """
    test_fraction, val_fraction = fractions
    members = order[labels[order].argsort(stable=True)]  # class by class; a loop over many classes takes too long
    counts = labels.unique(return_counts=True)[1]
    ranks = torch.arange(len(members)) - (counts.cumsum(0) - counts).repeat_interleave(counts)  # within the class, (N,)
    rank, size, of_class = (torch.empty_like(ranks) for _ in range(3))  # of each example, (N,)
    rank[members], size[members] = ranks, counts.repeat_interleave(counts)
    of_class[members] = torch.arange(len(counts)).repeat_interleave(counts)
    position = (rank.double() + 0.5) / size  # in (0, 1), within the class
    for slack in (1, 0):  # a single row is only moved from class to class if a part would be empty
        until_test, until_val = (
            _evened(position < fraction, of_class, counts, fraction, slack)[of_class]
            for fraction in (test_fraction, test_fraction + val_fraction)
        )
        test = rank < until_test
        val = ~test & (rank < until_val)
        if (test.any() or not test_fraction) and (val.any() or not val_fraction):
            break
    return val + 2 * test.long()


def _evened(taken: Tensor, of_class: Tensor, counts: Tensor, fraction: float, slack: int) -> Tensor:
    """Return how many examples of each class to take, `(K,)`, where `taken` `(N,)` rounds each class for itself.

    If they are off the fraction of all examples by more than `slack`, the classes with the largest remainders take one
    more, or those with the smallest one less; a class keeps one for training.
    """
    numbers = torch.bincount(of_class[taken], minlength=len(counts))  # (K,)
    lacking = math.ceil(len(of_class) * fraction - 0.5) - int(numbers.sum())
    if abs(lacking) > slack:
        remainders = counts * fraction - numbers
        order = remainders.argsort(descending=True, stable=True)
        if lacking > 0:
            numbers[order[numbers[order] < counts[order] - 1][:lacking]] += 1
        else:
            numbers[order[numbers[order] > 0][lacking:]] -= 1
    return numbers


def _dealt(labels: Tensor, groups: Tensor, shares: Sequence[float], generator: torch.Generator) -> Tensor:
    """Return the part of each example, `(N,)`, such that groups stay whole and parts have their shares of each class.

    Large groups come first; each goes where it is needed most, as in scikit-learn's StratifiedGroupKFold.
    """
    number = groups.unique(return_inverse=True)[1]
    of_class = labels.unique(return_inverse=True)[1]
    counts = np.zeros((int(number.max()) + 1, int(of_class.max()) + 1))  # (G, K)
    np.add.at(counts, (number.numpy(), of_class.numpy()), 1)
    chance = torch.randperm(len(counts), generator=generator).numpy()
    order = chance[np.argsort(-counts[chance].max(1), kind="stable")]
    lacking = np.array(shares)[:, None] * counts.sum(0)  # (P, K)
    part_of = np.zeros(len(counts), dtype=np.int64)  # (G,)
    for group in order:
        part_of[group] = (lacking @ (counts[group] / counts.sum(0))).argmax()
        lacking[part_of[group]] -= counts[group]
    return torch.from_numpy(part_of)[number]
