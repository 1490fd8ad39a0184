"""Measure where a run's time goes."""

import time

import torch

IN_UPDATE = ("data", "forward", "backward", "update")
PARTS = (*IN_UPDATE, "evaluation", "logging", "checkpoints")


class Clock:
    """Seconds spent on each part of a run: `lap` adds the time since the last lap to one.

    A GPU runs behind the host. There, each lap of one update in `every` waits for it, and so does the lap before; the
    time of the other updates is divided in the same proportions. The tenth update is measured too, for short runs.
    """

    def __init__(self, device: torch.device, every: int = 50) -> None:
        self.wait = torch.cuda.synchronize if device.type == "cuda" else None
        self.every, self.num_updates = every, 0
        self.booked = dict.fromkeys((*PARTS, "others"), 0.0)
        self.start()

    def start(self) -> None:
        """Start timing now."""
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last call to `part`."""
        if self.wait and part in IN_UPDATE:
            self.num_updates += part == "data"
            if self._is_measured(self.num_updates):
                self.wait()
            else:
                if part == "update" and self._is_measured(self.num_updates + 1):
                    self.wait()  # the backlog belongs to this update
                part = "others"
        now = time.perf_counter()
        self.booked[part] += now - self.last
        self.last = now

    def _is_measured(self, number: int) -> bool:
        return number % self.every == 0 or number == 10

    @property
    def learning_s(self) -> float:
        """Seconds spent on updates so far, without loading their data."""
        return sum(self.booked[part] for part in ("forward", "backward", "update", "others"))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds so far by part."""
        measured = sum(self.booked[part] for part in IN_UPDATE)
        scale = 1 + self.booked["others"] / measured if measured else 1.0
        return {part: self.booked[part] * (scale if part in IN_UPDATE else 1) for part in PARTS}
