"""When a run ends: its budget of updates and minutes, its patience, and signals from outside."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

from trainer.engine.update import Update
from trainer.errors import Stopped

Batch = TypeVar("Batch")


class Signals:
    """Lets Ctrl-C and SIGTERM wait for the end of an update. A second Ctrl-C does not wait. Use as a context manager.

    Where batches are `watched`, the next one that is asked for raises `Stopped` instead.
    """

    def __init__(self) -> None:
        self.came = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.came = self.came or number

    def check(self) -> None:
        """Raises `Stopped` if a signal has come."""
        if self.came:
            raise Stopped(self.came)

    def watched(self, batches: Iterable[Batch]) -> Watched[Batch]:
        """The same batches."""
        return Watched(batches, self)


class Watched(Generic[Batch]):
    """Batches that may be iterated over again; see `Signals`."""

    def __init__(self, batches: Iterable[Batch], signals: Signals) -> None:
        self.batches, self.signals = batches, signals

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.signals.check()
            yield batch


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
        if self.update.num_steps >= self.max_steps:  # the epoch that used them up is gone on with
            return
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

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {"metrics": self.metrics, "epoch": self.epoch, "epochs_without": self.epochs_without}

    def about(self) -> dict[str, Any]:
        """The same for whoever reads the run's summary."""
        return {
            "best": self.metrics,
            "best_epoch": self.epoch,
            "monitor": self.monitor,
            "higher_is_better": self.sign > 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        vars(self).update(state)

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
