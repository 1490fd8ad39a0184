"""Learning-rate schedules as pure functions of the number of updates made.

A resumed or prolonged run needs nothing but the step to go on. Warmup is a straight line from nearly zero, given
in updates, or as a fraction of the run where it is below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer


class Schedule:
    """Sets `lr = base lr * factor(step)` in every group; `step` counts the updates made.

    Duck-typed as torch's `LRScheduler`, without its bookkeeping of 10 us a step.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.factor, self.num_steps = factor, 0
        self.groups = [(group, group["lr"]) for group in optimizer.param_groups]
        self._apply()

    def step(self) -> None:
        """To be called after each update."""
        self.num_steps += 1
        self._apply()

    def _apply(self) -> None:
        factor = self.factor(self.num_steps)
        for group, base in self.groups:
            group["lr"] = base * factor

    def state_dict(self) -> dict[str, Any]:
        """The step alone: all else is in the config."""
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the saved step."""
        self.num_steps = state["num_steps"]
        self._apply()


def _warmup_steps(warmup: float, total_steps: int) -> int:
    if warmup < 0:
        raise ValueError(f"warmup={warmup}: expected a number of updates, or a fraction of the run below 1")
    return round(warmup * total_steps) if warmup < 1 else int(warmup)


def _with_warmup(optimizer: Optimizer, total_steps: int, warmup: float, decay: Callable[[float], float]) -> Schedule:
    """Linear warmup, then `decay` of the progress from 0 (its end) to 1 (the run's end)."""
    rise = _warmup_steps(warmup, total_steps)
    fall = max(1, total_steps - rise)

    def factor(step: int) -> float:
        return (step + 1) / (rise + 1) if step < rise else decay(min(1.0, (step - rise) / fall))

    return Schedule(optimizer, factor)


def constant(optimizer: Optimizer, total_steps: int, warmup: float = 0) -> Schedule:
    """The same learning rate from start to end."""
    return _with_warmup(optimizer, total_steps, warmup, lambda progress: 1.0)


def cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0) -> Schedule:
    """Half a cosine from the full rate to zero (Loshchilov and Hutter, SGDR, 2017)."""
    return _with_warmup(optimizer, total_steps, warmup, _half_cosine)


def one_cycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.3) -> Schedule:
    """From 1/25 of the rate to the rate, then to 1/250,000 of it, both along half a cosine.

    Smith and Topin, Super-Convergence, 2018, with the constants of torch's `OneCycleLR`; momentum stays.
    """
    rise = max(1, _warmup_steps(warmup, total_steps) - 1)
    fall = max(1, total_steps - 1 - rise)

    def factor(step: int) -> float:
        if step < rise:
            return 1 + (1 / 25 - 1) * _half_cosine(step / rise)
        lowest = 1 / 25 / 1e4
        return lowest + (1 - lowest) * _half_cosine(min(1.0, (step - rise) / fall))

    return Schedule(optimizer, factor)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))
