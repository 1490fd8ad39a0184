"""What ends a run: its number of epochs, updates or minutes, its patience, a signal, or its sweep."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import FrameType
from typing import Any, Generic, TypeVar

from trainer.engine.loop import Position
from trainer.engine.meter import Best
from trainer.engine.update import Update
from trainer.errors import Halt, Halted, Stopped, stops

Batch = TypeVar("Batch")


class Watched(Generic[Batch]):
    """Batches that can be iterated over repeatedly, with a `check` before each."""

    def __init__(self, batches: Iterable[Batch], check: Callable[[], None]) -> None:
        self.batches, self.check = batches, check

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.check()
            yield batch


class Budget:
    """Cuts an epoch's batches short when the updates or minutes are used up; the epoch then ends like any other."""

    def __init__(self, update: Update, max_steps: float = math.inf, max_minutes: float = math.inf) -> None:
        self.update, self.max_steps = update, max_steps
        self.deadline = time.monotonic() + 60 * max_minutes

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.update.num_steps >= self.max_steps or time.monotonic() >= self.deadline

    def limit(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the first batch, and those after it as long as the budget lasts."""
        if self.update.num_steps >= self.max_steps:  # resumed in the epoch that used up the updates
            return
        for batch in batches:
            yield batch
            if self.spent:
                return


class Ending:
    """A context manager that knows when a run is over and makes signals wait for the end of an update.

    A second Ctrl-C does not wait. `halt(epoch, best)` is called after every epoch but the last, with the best value of
    the monitored metric so far.
    """

    def __init__(
        self, update: Update, best: Best, halt: Halt, epochs: int, patience: float, max_steps: float, minutes: float
    ) -> None:
        self.best, self.halt, self.epochs, self.patience = best, halt, epochs, patience
        self.budget = Budget(update, max_steps, minutes)
        self.came = 0  # the signal that has arrived
        self.handlers: dict[int, Any] = {}  # of signals, before

    def __enter__(self) -> Ending:
        self.handlers = {number: signal.signal(number, self._note) for number in stops()}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.came = self.came or number

    def epochs_from(self, start: Position) -> int:
        """Return the last epoch to train, or 0 if the run was over at `start` already.

        Raises:
            Halted: the sweep halts the run at `start`, where it had not before the interruption.
        """
        is_between_epochs = start.epoch > 1 and not start.batch
        return 0 if is_between_epochs and self.reached(start.epoch - 1) else self.epochs

    def watched(self, batches: Iterable[Batch]) -> Watched[Batch]:
        """Return the same batches; after a signal, the next one raises `Stopped`."""
        return Watched(batches, self.check_signals)

    def limited(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Return the batches that the budget covers, watched as well."""
        return self.budget.limit(self.watched(batches))

    def allows(self, batch: int, train: Sized) -> bool:
        """Return whether another update follows in this epoch after `batch` batches."""
        return batch < len(train) and not self.budget.spent

    def check_signals(self) -> None:
        """Raise `Stopped` if a signal has arrived."""
        if self.came:
            raise Stopped(self.came)

    def reached(self, epoch: int) -> bool:
        """Return whether the run is over after this epoch.

        Raises:
            Halted: it is not over, but the sweep halts it.
        """
        if self.budget.spent or self.best.epochs_without >= self.patience:
            return True
        if epoch < self.epochs and self.halt(epoch, self.best.metrics[self.best.monitor]):
            raise Halted(epoch, self.best.about())
        return False
