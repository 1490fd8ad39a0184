"""Random search: take the best of many draws (Rastrigin 1963)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.optim.search import NUMBERS, Closure, Search, check_length, for_each, lowest

MOST_WEIGHTS = 10_000


class RandomSearch(Search):
    """Moves to the best of `draws` random weights and the present ones, so that the loss never rises.

    The draws are normal around the present weights with standard deviation `lr`, or uniform in `bounds`: `[from, to]`
    for all weights, or a list of these, one per weight. They come from torch's global generator.

    Raises:
        ValueError: an invalid argument.
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
        """Allow at most 10,000 weights."""
        if num_weights > MOST_WEIGHTS:
            raise ValueError(
                f"random search takes at most {MOST_WEIGHTS:,} weights, and the model has {num_weights:,}; "
                "use optim=adam, which follows the gradient"
            )
        if self.bounds is not None:
            check_length("bounds", self.bounds, num_weights)

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """Evaluate the present weights and the draws; a tie keeps the present weights."""
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
