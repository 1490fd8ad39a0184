"""The learning-rate range test: train while the rate rises from too small to too large, and record the loss.

Smith, Cyclical Learning Rates for Training Neural Networks (2017), section 3.3; smoothing, stopping and suggestions
follow fast.ai's `lr_find`.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from typing import NamedTuple

from torch import nn

from trainer.engine.loop import Batch, Loader, Loss, fit
from trainer.engine.meter import Meter
from trainer.engine.update import Update
from trainer.errors import NumericalError
from trainer.schedules import Schedule

MEMORY = 0.9  # share of the smoothed loss that each step keeps: a mean over about ten steps
WINDOW = round(1 / (1 - MEMORY))
DIVERGED = 4.0  # stop at this many times the lowest smoothed loss


class Curve(NamedTuple):
    """The loss at each learning rate, before its update; `smoothed` is the exponentially weighted mean."""

    lrs: list[float]
    losses: list[float]
    smoothed: list[float]

    @property
    def lowest(self) -> int:
        """Index of the lowest smoothed loss, after the first window."""
        return min(range(min(WINDOW, len(self.lrs) - 1), len(self.lrs)), key=self.smoothed.__getitem__)

    @property
    def steepest(self) -> int | None:
        """Index before the lowest where the smoothed loss falls fastest; None if it never falls.

        Measured over several updates on both sides, after the first window: anything less is batch noise.
        """
        half = WINDOW // 2
        indices = range(WINDOW + half, self.lowest)
        falls = {i: self.smoothed[i - half] - self.smoothed[min(i + half, self.lowest)] for i in indices}
        best = max(falls, key=falls.__getitem__, default=None)
        return best if best is not None and falls[best] > 0 else None

    def suggestions(self) -> dict[str, int]:
        """Return the index of each suggestion by name, the larger rate first; empty if the loss never falls.

        Smith takes a rate at which the loss falls; fast.ai also offers a tenth of the rate with the lowest loss, where
        it is about to rise. The larger of the two is the better start for a schedule that lowers it.
        """
        if self.steepest is None:
            return {}
        tenth = min(range(len(self.lrs)), key=lambda i: abs(math.log(10 * self.lrs[i] / self.lrs[self.lowest])))
        found = {"steepest fall": self.steepest, "minimum / 10": tenth}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def range_test(
    model: nn.Module,
    loss: Loss,
    loader: Loader,
    update: Update,
    *,
    autocast: AbstractContextManager,
    lowest: float,
    highest: float,
    steps: int,
) -> Curve:
    """Train for `steps` updates at rates that rise from `lowest` to `highest` by a constant factor.

    Stops early if the loss is not finite, or its smoothed value exceeds 4 times the lowest. Everything else is as in
    `update`. Neither the model nor the update is usable afterwards.
    """
    for group in update.optimizer.param_groups:
        group["lr"] = 1.0
    update.scheduler = Schedule(update.optimizer, lambda step: lowest * (highest / lowest) ** (step / (steps - 1)))
    curve = Curve([], [], [])
    meter = Meter({})
    lr, average = update.lr, 0.0
    try:
        for report in fit(model, loss, _Endless(loader), (), update, (meter, meter), epochs=1, autocast=autocast):
            value = float(report.loss)
            if not math.isfinite(value):
                break
            average = MEMORY * average + (1 - MEMORY) * value
            curve.lrs.append(lr)
            curve.losses.append(value)
            curve.smoothed.append(average / (1 - MEMORY ** len(curve.lrs)))  # corrects for the start at zero
            limit = DIVERGED * min(curve.smoothed[WINDOW:], default=math.inf)
            if len(curve.lrs) >= steps or curve.smoothed[-1] > limit:
                break
            lr = update.lr
    except NumericalError:
        pass
    return curve


class _Endless:
    """Endless passes over a split, as one epoch."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Do nothing: each pass sets its own epoch."""

    def __iter__(self) -> Iterator[Batch]:
        for epoch in count(1):
            self.loader.set_epoch(epoch)
            yield from self.loader
