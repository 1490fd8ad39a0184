"""The axes of a sweep's picture, and which of its keys matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from trainer.runs.leaderboard import Group

DECADE = 10  # ratio of largest to smallest value from which an axis is logarithmic
FAR, FAR_ERRORS = 6, 20  # times the distance from the best to the median; times the smallest error
GAIN = 2  # outliers are cut off if the rest then gets at least this many times the room
BINS = 5  # for a key with many values


class Axis(NamedTuple):
    """The axis of a key: numbers on a line, or names side by side."""

    names: list[str]  # empty for numbers
    numbers: list[float]  # distinct, ascending; empty for names
    is_logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[str]) -> Axis:
        """Choose the axis for values as overrides have them."""
        distinct = list(dict.fromkeys(values))
        try:
            numbers = {value: float(value) for value in distinct}
        except ValueError:
            return cls(distinct, [], False)
        if not all(map(math.isfinite, numbers.values())):
            return cls(distinct, [], False)
        low, *_ = found = sorted(set(numbers.values()))
        spans_decades = min(filter(None, map(abs, found)), default=1) * DECADE <= max(map(abs, found))
        if spans_decades and low <= 0 and len(found) <= DECADE:  # such as a weight decay of 0, 1e-4 and 1e-2
            return cls(sorted(distinct, key=lambda value: numbers[value]), [], False)
        return cls([], found, spans_decades and low > 0)

    def at(self, value: str) -> float:
        """Return the place of a value, in decades on a logarithmic axis."""
        if self.names:
            return float(self.names.index(value))
        return math.log10(float(value)) if self.is_logarithmic else float(value)

    def drawn(self, place: float) -> float:
        """Convert a place to matplotlib's coordinate."""
        return 10**place if self.is_logarithmic else place

    def bin(self, value: str) -> int:
        """Return the number of the bin that a value falls into."""
        if self.names:
            return self.names.index(value)
        place = self.numbers.index(float(value))
        return place if len(self.numbers) <= BINS else place * BINS // len(self.numbers)

    @property
    def room(self) -> float:
        """Return the width in which jobs of one value are spread out."""
        if self.names:
            return 0.6
        places = [self.at(str(number)) for number in self.numbers]
        gaps = [b - a for a, b in pairwise(places)]
        return min(0.6 * min(gaps), 0.12 * (places[-1] - places[0])) if gaps else 0.1


def by_effect(group: Group, keys: Sequence[str]) -> list[str]:
    """Sort keys by how much of the variance of the jobs' ranks their values explain, beyond chance.

    Epsilon squared (Kelley 1935), of ranks because a single diverged job would otherwise decide.
    """
    jobs = [job for row in group.rows for job in row.jobs if math.isfinite(job.objective)]
    order = {value: rank for rank, value in enumerate(sorted({job.objective for job in jobs}))}
    mean = fmean(order[job.objective] for job in jobs) if jobs else 0.0
    total = sum((order[job.objective] - mean) ** 2 for job in jobs)

    def explained(key: str) -> float:
        axis = Axis.of([job.values.get(key, "") for job in jobs])
        found: dict[int, list[int]] = {}
        for job in jobs:
            found.setdefault(axis.bin(job.values.get(key, "")), []).append(order[job.objective])
        within = sum((rank - fmean(ranks)) ** 2 for ranks in found.values() for rank in ranks)
        left = len(jobs) - len(found)
        return 1 - within / left * (len(jobs) - 1) / total if total and left else 0.0

    return sorted(keys, key=explained, reverse=True)


class Heights(NamedTuple):
    """The axis of the metric."""

    low: float
    high: float
    is_logarithmic: bool


def heights(group: Group) -> Heights | None:
    """Choose the range for the jobs of a group, without far outliers; None if no value is finite."""
    values = [job.objective for row in group.rows for job in row.jobs if math.isfinite(job.objective)]
    if not values:
        return None
    low, high = min(values), max(values)
    if not group.higher_is_better and 0 < FAR_ERRORS * low < high:
        return Heights(low / 1.15, high * 1.15, True)
    best, worst = (high, low) if group.higher_is_better else (low, high)
    far = best + FAR * (median(values) - best)
    if far != best and abs(worst - best) > GAIN * abs(far - best):
        low, high = min(best, far), max(best, far)
    if group.baseline and low - (high - low) / 2 < group.baseline.mean < high + (high - low) / 2:
        low, high = min(low, group.baseline.mean), max(high, group.baseline.mean)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return Heights(low - margin, high + margin, False)
