"""Direction search: step all weights up or down at once, in the same direction as long as the loss falls."""

from itertools import accumulate, product
from typing import Any

import torch
from torch import Tensor

from trainer.optim.search import NUMBERS, Closure, Search

MOST_WEIGHTS = 16
MOST_AHEAD = 256  # steps along one direction to evaluate in a call


class DirectionSearch(Search):
    """Tries steps of `lr` up or down in every weight, at most `tries` of them.

    The `2^P` directions take turns: (+, .., +, +), (+, .., +, -), ... A step that lowers the loss is taken and its
    direction tried again; otherwise the next direction follows. When no direction lowers the loss, the step becomes
    `shrink` times as long, until it is shorter than `shortest`.

    The steps taken are those of trying one after the other, but a call evaluates many: 1, 2, 4, ... steps ahead
    while a direction holds, and all other directions once it fails.

    Raises:
        ValueError: an invalid argument.
    """

    def __init__(
        self, params: Any, lr: float = 0.1, tries: int = 10_000, shrink: float = 0.5, shortest: float = 1e-6
    ) -> None:
        super().__init__(params, lr)
        if tries < 1:
            raise ValueError(f"tries={tries}: expected at least 1")
        if not 0 < shrink < 1:
            raise ValueError(f"shrink={shrink}: expected a factor between 0 and 1")
        if shortest <= 0:
            raise ValueError(f"shortest={shortest}: expected a length above 0")
        self.tries, self.shrink, self.shortest = tries, shrink, shortest

    def check_size(self, num_weights: int) -> None:
        """Allow at most 16 weights, which have 65,536 directions."""
        if num_weights > MOST_WEIGHTS:
            raise ValueError(
                f"{num_weights:,} weights have 2^{num_weights} directions, and at most 2^{MOST_WEIGHTS} can be tried; "
                "use optim=random_search for more weights"
            )

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """Take all steps; see the class."""
        num = len(present)
        signs = torch.tensor(list(product((1.0, -1.0), repeat=num)), dtype=present.dtype, device=present.device)
        weights, loss = present, closure(present[None])[0]
        step, left, direction = self.lr, self.tries, 0
        failed = 0  # directions that failed at these weights
        ahead = 1  # steps to evaluate in the next call
        while left and step >= self.shortest:
            if failed:
                block = min(len(signs) - failed, left, max(1, NUMBERS // num))
                turns = (direction + torch.arange(block)) % len(signs)
                candidates = weights + step * signs[turns]
                losses = closure(candidates)
                missed = _leading(~(losses < loss))
                left -= min(missed + 1, block)
                direction = (direction + missed) % len(signs)
                failed += missed
                if missed < block:
                    weights, loss, failed, ahead = candidates[missed], losses[missed], 0, 1
            else:
                candidates = _along(weights, step * signs[direction], min(ahead, left))
                losses = closure(candidates)
                held = _leading(losses < torch.cat([loss[None], losses[:-1]]))
                left -= min(held + 1, len(losses))
                if held:
                    weights, loss = candidates[held - 1], losses[held - 1]
                if held == len(losses):
                    ahead = min(2 * ahead, MOST_AHEAD)
                else:
                    failed, direction = 1, (direction + 1) % len(signs)
            if failed == len(signs):
                step, failed, ahead = self.shrink * step, 0, 1
        return weights, loss


def _along(start: Tensor, move: Tensor, num_steps: int) -> Tensor:
    """Return the points after 1, 2, ... moves, `(num_steps, P)`; multiples of `move` would round differently."""
    return torch.stack([*accumulate([move] * num_steps, initial=start)][1:])


def _leading(flags: Tensor) -> int:
    """Return how many flags are true before the first false one."""
    return int(flags.long().cumprod(0).sum())
