"""Where the time of a run goes."""

from __future__ import annotations

import time

import torch

IN_UPDATE = ("data", "forward", "backward", "update")
PARTS = (*IN_UPDATE, "evaluation", "logging", "checkpoints")


class Clock:
    """`lap` books all the time since the last one on a part of the run.

    A GPU works on behind the host's back. There, one update in `every` waits for it at each lap, and before, and the
    time of the others is divided as these were. The tenth does, too: a run may have no more.
    """

    def __init__(self, device: torch.device, every: int = 50) -> None:
        self.wait = torch.cuda.synchronize if device.type == "cuda" else None
        self.every, self.num_updates = every, 0
        self.booked = dict.fromkeys((*PARTS, "others"), 0.0)
        self.start()

    def start(self) -> None:
        """Book nothing until now."""
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """All since the last call was spent on `part`."""
        if self.wait and part in IN_UPDATE:
            self.num_updates += part == "data"
            if self._is_measured(self.num_updates):
                self.wait()
            else:
                if part == "update" and self._is_measured(self.num_updates + 1):
                    self.wait()  # what it is behind with belongs to this one
                part = "others"
        now = time.perf_counter()
        self.booked[part] += now - self.last
        self.last = now

    def _is_measured(self, number: int) -> bool:
        return number % self.every == 0 or number == 10

    @property
    def learning_s(self) -> float:
        """Seconds so far of what an update is made of, without its data."""
        return sum(self.booked[part] for part in ("forward", "backward", "update", "others"))

    @property
    def seconds(self) -> dict[str, float]:
        """Part -> seconds so far."""
        measured = sum(self.booked[part] for part in IN_UPDATE)
        scale = 1 + self.booked["others"] / measured if measured else 1.0
        return {part: self.booked[part] * (scale if part in IN_UPDATE else 1) for part in PARTS}
