"""Learning-rate schedules as pure functions of the number of updates made; only plateau also looks at the results.

A resumed or extended run needs only the step. Warmup is a straight line from nearly zero; its length is a number of
updates, or a fraction of the run if below 1.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class Schedule:
    """Sets `lr = base lr * factor(step)` in every group; `step` counts the updates made.

    Duck-typed as torch's `LRScheduler`, without its bookkeeping of 10 us a step.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.factor, self.num_steps, self.applied = factor, 0, math.nan
        self.optimizer, self.base_lrs = optimizer, [group["lr"] for group in optimizer.param_groups]
        self._apply()

    def step(self) -> None:
        """Count an update and set the next learning rate."""
        self.num_steps += 1
        self._apply()

    def _apply(self) -> None:
        factor = self.factor(self.num_steps)
        if factor == self.applied:
            return
        self.applied = factor
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            if isinstance(group["lr"], Tensor):  # a compiled update reads this very tensor
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    def end_epoch(self, improved: bool) -> None:
        """Take note of whether the monitored metric improved; only plateau does."""

    def state_dict(self) -> dict[str, Any]:
        """Return the step; everything else is in the config."""
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the saved step."""
        vars(self).update(state, applied=math.nan)
        self._apply()


def _updates(name: str, value: float, total_steps: int) -> int:
    """Return a number of updates from one, or from a fraction of the run below 1."""
    if value < 0:
        raise ValueError(f"{name}={value}: expected a number of updates, or a fraction of the run below 1")
    return round(value * total_steps) if value < 1 else int(value)


def _after_warmup(total_steps: int, warmup: float, factor: Callable[[int, float], float]) -> Callable[[int], float]:
    """Return a straight rise, followed by `factor` of the updates since and of the progress, 0 to 1, to the end."""
    rise = _updates("warmup", warmup, total_steps)
    rest = max(1, total_steps - rise)

    def whole(step: int) -> float:
        since = step - rise
        return (step + 1) / (rise + 1) if since < 0 else factor(since, min(1.0, since / rest))

    return whole


def constant(optimizer: Optimizer, total_steps: int, warmup: float = 0) -> Schedule:
    """Keep the same learning rate from start to end."""
    return Schedule(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: 1.0))


def step(
    optimizer: Optimizer, total_steps: int, warmup: float = 0, step_size: float = 1 / 3, gamma: float = 0.1
) -> Schedule:
    """Multiply the rate by `gamma` after every `step_size`, counted from the end of the warmup."""
    size = max(1, _updates("step_size", step_size, total_steps))
    return Schedule(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: gamma ** (step // size)))


def exponential(optimizer: Optimizer, total_steps: int, warmup: float = 0, final: float = 0.01) -> Schedule:
    """Multiply the rate by the same factor at every update, down to the fraction `final` at the end."""
    if not 0 < final <= 1:
        raise ValueError(f"final={final}: expected a share of the rate, above 0 and at most 1")
    return Schedule(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: final**progress))


def cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0) -> Schedule:
    """Lower the rate to zero along half a cosine (Loshchilov and Hutter, SGDR, 2017)."""
    return Schedule(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: _half_cosine(progress)))


def linear(optimizer: Optimizer, total_steps: int, warmup: float = 0) -> Schedule:
    """Lower the rate to zero in a straight line."""
    return Schedule(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: 1 - progress))


class Plateau(Schedule):
    """Multiplies the rate by `factor` when the monitored metric has not improved for more than `patience` epochs."""

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup: float = 0, factor: float = 0.3, patience: int = 1
    ) -> None:
        if not 0 < factor < 1 or patience < 0:
            raise ValueError(
                f"factor={factor} patience={patience}: expected a factor in (0, 1), patience of at least 0"
            )
        self.patience, self.epochs_without, self.num_cuts = patience, 0, 0
        super().__init__(optimizer, _after_warmup(total_steps, warmup, lambda step, progress: factor**self.num_cuts))

    def end_epoch(self, improved: bool) -> None:
        """Count the epochs without improvement, and cut the rate after too many."""
        self.epochs_without = 0 if improved else self.epochs_without + 1
        if self.epochs_without > self.patience:
            self.num_cuts, self.epochs_without = self.num_cuts + 1, 0
            self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Return the step and both counters."""
        return super().state_dict() | {"num_cuts": self.num_cuts, "epochs_without": self.epochs_without}


def one_cycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.3) -> Schedule:
    """Raise the rate from 1/25 to its full value, then lower it to 1/250,000, each along half a cosine.

    Smith and Topin, Super-Convergence, 2018, with the constants of torch's `OneCycleLR`; momentum does not change.
    """
    rise = max(1, _updates("warmup", warmup, total_steps) - 1)
    fall = max(1, total_steps - 1 - rise)

    def factor(step: int) -> float:
        if step < rise:
            return 1 + (1 / 25 - 1) * _half_cosine(step / rise)
        lowest = 1 / 25 / 1e4
        return lowest + (1 - lowest) * _half_cosine(min(1.0, (step - rise) / fall))

    return Schedule(optimizer, factor)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))
