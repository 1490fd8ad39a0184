"""Grid search: evaluate every point of a grid."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.optim.search import NUMBERS, Closure, Search, check_length, for_each, lowest

MOST_POINTS = 10_000_000


class GridSearch(Search):
    """Moves to the best point of a grid, wherever the present weights are.

    `ranges` is `[from, to, step]` for all weights, or a list of these, one per weight in the order of the parameters.
    Both ends are included; equal ends fix a weight.

    Raises:
        ValueError: an invalid range.
    """

    def __init__(self, params: Any, ranges: Sequence[Any]) -> None:
        super().__init__(params, lr=1.0)  # not used
        self.ranges = for_each("ranges", ranges, 3)
        for first, last, step in self.ranges.tolist():
            if first > last or step <= 0:
                raise ValueError(
                    f"ranges: [{first:g}, {last:g}, {step:g}]: expected [from, to, step], from <= to and step > 0"
                )

    def check_size(self, num_weights: int) -> None:
        """Allow at most 10 million points."""
        check_length("ranges", self.ranges, num_weights)
        num_points = math.prod(_length(*row) for row in self._rows(num_weights))
        if num_points > MOST_POINTS:
            raise ValueError(
                f"the grid of {num_weights:,} weights has 10^{math.log10(num_points):.1f} points, and at most "
                f"{MOST_POINTS:,} can be tried; use larger steps in optim.ranges, or optim=random_search"
            )

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """Evaluate all points; the last weight changes fastest."""
        rows = self._rows(len(present))
        axes = [(row[0] + row[2] * torch.arange(_length(*row)).double()).to(present) for row in rows]
        return lowest(_points(axes), closure)

    def _rows(self, num_weights: int) -> list[list[float]]:
        return self.ranges.expand(num_weights, 3).tolist()


def _length(first: float, last: float, step: float) -> int:
    """Return the number of values; rounding never loses `last`."""
    return int((last - first) / step + 1e-6) + 1


def _points(axes: list[Tensor]) -> Iterator[Tensor]:
    """Yield the product of the axes in blocks `(M, P)`, each point computed from its number."""
    num_points, size = math.prod(map(len, axes)), max(1, NUMBERS // len(axes))
    for start in range(0, num_points, size):
        rest = torch.arange(start, min(start + size, num_points), device=axes[0].device)
        columns = []
        for values in reversed(axes):
            columns.append(values[rest % len(values)])
            rest = rest // len(values)
        yield torch.stack(columns[::-1], 1)
