"""Random search: the best of many draws (Rastrigin 1963)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.optim.search import NUMBERS, Closure, Search, check_length, for_each, lowest

MOST_WEIGHTS = 10_000


class RandomSearch(Search):
    """The best of `draws` weights and the present ones, so that the loss never rises.

    They are drawn around the present weights, normal with the standard deviation `lr`, or uniformly in `bounds`:
    `[from, to]` for all weights, or a list of such for each of them. torch's own generator draws.

    Raises:
        ValueError: no draws, a deviation that is not positive, or bounds that are none.
    """

    def __init__(self, params: Any, draws: int = 5000, lr: float = 1.0, bounds: Sequence[Any] | None = None) -> None:
        super().__init__(params, lr)
        if draws < 1:
            raise ValueError(f"draws={draws}: expected at least 1")
        self.draws, self.bounds = draws, None if bounds is None else for_each("bounds", bounds, 2)
        for low, high in [] if self.bounds is None else self.bounds.tolist():
            if low > high:
                raise ValueError(f"bounds: [{low:g}, {high:g}]: expected [from, to]")

    def check_size(self, num_weights: int) -> None:
        """At most 10,000 weights."""
        if num_weights > MOST_WEIGHTS:
            raise ValueError(
                f"at most {MOST_WEIGHTS:,} weights can be found by draws, and the model has {num_weights:,}; "
                "optim=adam follows the gradient"
            )
        if self.bounds is not None:
            check_length("bounds", self.bounds, num_weights)

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """The present weights are asked about first: a draw has to be better."""
        return lowest(self._candidates(present), closure)

    def _candidates(self, present: Tensor) -> Iterator[Tensor]:
        yield present[None]
        size = max(1, NUMBERS // len(present))
        for start in range(0, self.draws, size):
            shape = (min(size, self.draws - start), len(present))
            if self.bounds is None:
                yield present + self.lr * torch.randn(shape, dtype=present.dtype, device=present.device)
            else:
                low, high = self.bounds.to(present).unbind(1)
                yield low + (high - low) * torch.rand(shape, dtype=present.dtype, device=present.device)
