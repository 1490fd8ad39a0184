"""The best epoch of a run, by one validation metric."""

from __future__ import annotations

import math
from typing import Any


class Best:
    """The best epoch by one validation metric. NaN is never best and never an improvement."""

    def __init__(self, monitor: str, higher_is_better: bool) -> None:
        self.monitor = monitor
        self.sign = 1.0 if higher_is_better else -1.0
        self.metrics: dict[str, float] = {}
        self.epoch = 0
        self.epochs_without = 0

    def state_dict(self) -> dict[str, Any]:
        """Return all that a restart needs."""
        return {"metrics": self.metrics, "epoch": self.epoch, "epochs_without": self.epochs_without}

    def about(self) -> dict[str, Any]:
        """Return the entries of the run's summary."""
        return {
            "best": self.metrics,
            "best_epoch": self.epoch,
            "monitor": self.monitor,
            "higher_is_better": self.sign > 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        vars(self).update(state)

    def improved(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Record an epoch and return whether it is the best so far; the earlier one wins a tie."""
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
