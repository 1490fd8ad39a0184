"""What the optimizers without gradients have in common: candidates in, losses out, and the best of them.

`P` is the number of all weights, flattened in the order of the parameters, and `M` that of the candidates in a call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer

Closure = Callable[[Tensor], Tensor]  # candidates (M, P) -> their losses (M,)
NUMBERS = 2**20  # in the candidates of a call: a search over millions of points has them a few thousand at a time


class Search(Optimizer):
    """Puts the best of many candidates in the place of the weights, by their loss alone.

    `lr` is what a schedule may change: how far a candidate lies from the present weights, where that has a meaning.
    """

    def __init__(self, params: Any, lr: float) -> None:
        if not 0 < lr < math.inf:
            raise ValueError(f"lr={lr}: expected a number above 0")
        super().__init__(params, {"lr": lr})

    @property
    def weights(self) -> list[Tensor]:
        """The parameters that are searched for."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    @property
    def lr(self) -> float:
        """The rate that the schedule has set."""
        return float(self.param_groups[0]["lr"])

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Search once, and give the loss of the weights that were chosen, shape `()`.

        Raises:
            ValueError: there are more weights than this can search for.
        """
        self.check_size(sum(p.numel() for p in self.weights))
        chosen, loss = self.search(parameters_to_vector(self.weights), closure)
        vector_to_parameters(chosen, self.weights)
        return loss

    def check_size(self, num_weights: int) -> None:
        """Refuse what would take for ever.

        Raises:
            ValueError: there are more weights than this can search for.
        """
        raise NotImplementedError

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """From the present weights `(P,)` to the chosen ones `(P,)`, and their loss, shape `()`."""
        raise NotImplementedError


def lowest(blocks: Iterable[Tensor], closure: Closure) -> tuple[Tensor, Tensor]:
    """The candidate `(P,)` with the lowest loss of all blocks `(M, P)`, the first of equals, and that loss.

    A loss that is no number is higher than any.
    """
    found: list[tuple[Tensor, Tensor]] = []
    for candidates in blocks:
        losses = closure(candidates).nan_to_num(math.inf, math.inf, -math.inf)
        best = losses.argmin()
        if not found or losses[best] < found[0][1]:
            found = [(candidates[best].clone(), losses[best])]
    return found[0]


def for_each(name: str, given: Any, length: int) -> Tensor:
    """Lists of `length` numbers, one list for each weight or one for all: `(P, length)` or `(1, length)`.

    Raises:
        ValueError: it is anything else.
    """
    try:
        rows = torch.tensor(given, dtype=torch.float64)
    except (TypeError, ValueError):
        rows = torch.empty(0)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != length or not len(rows) or not rows.isfinite().all():
        raise ValueError(f"{name}={given}: expected {length} numbers, or a list of {length} for each weight")
    return rows


def check_length(name: str, rows: Tensor, num_weights: int) -> None:
    """Refuse lists of which there are not as many as weights.

    Raises:
        ValueError: as it says.
    """
    if len(rows) not in (1, num_weights):
        raise ValueError(
            f"{name} has {len(rows)} lists, and the model has {num_weights} weights: one for each, or for all"
        )
