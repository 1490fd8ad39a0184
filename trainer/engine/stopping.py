"""What ends a run: its epochs, updates and minutes, its patience, a signal, or the sweep that it is a job of."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

from trainer.engine.best import Best
from trainer.engine.loop import Position
from trainer.engine.update import Update
from trainer.errors import Halt, Halted, Stopped

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
        """Yield the first of the batches, and those after it that the budget still covers."""
        if self.update.num_steps >= self.max_steps:  # resumed in the epoch that used them up
            return
        for batch in batches:
            yield batch
            if self.spent:
                return


class Ending:
    """Knows when a run is over, and lets signals wait for the end of an update. Use as a context manager.

    `halt(epoch, best)` is asked after every epoch but the last, with the best value of the monitored metric so far.
    """

    def __init__(
        self, update: Update, best: Best, halt: Halt, epochs: int, patience: float, max_steps: float, minutes: float
    ) -> None:
        self.best, self.halt, self.epochs, self.patience = best, halt, epochs, patience
        self.signals, self.budget = Signals(), Budget(update, max_steps, minutes)

    def __enter__(self) -> Ending:
        self.signals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.signals.__exit__(*error)

    def epochs_from(self, start: Position) -> int:
        """Return the epochs to train to from `start`; none where the run was over already.

        Raises:
            Halted: the sweep halts the run here: it had not been heard, or decides otherwise by now.
        """
        is_between_epochs = start.epoch > 1 and not start.batch
        return 0 if is_between_epochs and self.reached(start.epoch - 1) else self.epochs

    def watched(self, batches: Iterable[Batch]) -> Watched[Batch]:
        """Return the same batches; once a signal has come, the next one that is asked for raises `Stopped`."""
        return self.signals.watched(batches)

    def limited(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Return the batches that the budget covers, watched as well."""
        return self.budget.limit(self.watched(batches))

    def allows(self, batch: int, train: Sized) -> bool:
        """Return whether another update follows in this epoch, after so many batches of it."""
        return batch < len(train) and not self.budget.spent

    def check_signals(self) -> None:
        """Raise `Stopped` if a signal has come."""
        self.signals.check()

    def reached(self, epoch: int) -> bool:
        """Return whether the run is over after this epoch.

        Raises:
            Halted: it is not, but the sweep halts it.
        """
        if self.budget.spent or self.best.epochs_without >= self.patience:
            return True
        if epoch < self.epochs and self.halt(epoch, self.best.metrics[self.best.monitor]):
            raise Halted(epoch, self.best.about())
        return False
