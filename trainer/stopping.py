"""When a run has had enough: its budget of updates and minutes, and its patience."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from trainer.update import Update

Batch = TypeVar("Batch")


class Budget:
    """Cuts the batches short when the updates or the minutes are used up; the epoch then ends as any other."""

    def __init__(self, update: Update, max_steps: float = math.inf, max_minutes: float = math.inf) -> None:
        self.update, self.max_steps = update, max_steps
        self.deadline = time.monotonic() + 60 * max_minutes

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.update.num_steps >= self.max_steps or time.monotonic() >= self.deadline

    def limit(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The first of the batches, and those after it that can still be paid for."""
        for batch in batches:
            yield batch
            if self.spent:
                return


class Best:
    """The best epoch by one validation metric. NaN is never best, and counts as no improvement."""

    def __init__(self, monitor: str, higher_is_better: bool) -> None:
        self.monitor = monitor
        self.sign = 1.0 if higher_is_better else -1.0
        self.metrics: dict[str, float] = {}
        self.epoch = 0
        self.epochs_without = 0

    def improved(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Take note of an epoch, and say whether it is the best so far; the earlier one wins a tie."""
        value = self.sign * metrics[self.monitor]
        better = (
            not self.metrics
            or math.isnan(self.metrics[self.monitor])
            or (value > self.sign * self.metrics[self.monitor])
        )
        if better:
            self.metrics, self.epoch = metrics, epoch
        self.epochs_without = 0 if better and not math.isnan(value) else self.epochs_without + 1
        return better
