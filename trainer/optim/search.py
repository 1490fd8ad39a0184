"""Base of the optimizers without gradients: they propose candidates, get their losses and take the best.

`P` is the number of all weights, flattened in the order of the parameters, and `M` that of the candidates in a call.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer

Closure = Callable[[Tensor], Tensor]  # candidates (M, P) -> their losses (M,)
NUMBERS = 2**20  # in the candidates of a call: a search over millions of points evaluates them in blocks


class Search(Optimizer):
    """Replaces the weights by the best of many candidates, judged by their loss alone.

    `lr`, which a schedule may change, is how far a candidate lies from the present weights, where that applies.

    Raises:
        ValueError: `lr` is not a number above 0.
    """

    def __init__(self, params: Any, lr: float) -> None:
        if not 0 < lr < math.inf:
            raise ValueError(f"lr={lr}: expected a number above 0")
        super().__init__(params, {"lr": lr})

    @property
    def weights(self) -> list[Tensor]:
        """The parameters to search."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    @property
    def lr(self) -> float:
        """The rate as the schedule set it."""
        return float(self.param_groups[0]["lr"])

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Search once, set the chosen weights and return their loss, shape `()`.

        Raises:
            ValueError: too many weights for this search.
        """
        self.check_size(sum(p.numel() for p in self.weights))
        chosen, loss = self.search(parameters_to_vector(self.weights), closure)
        vector_to_parameters(chosen, self.weights)
        return loss

    def check_size(self, num_weights: int) -> None:
        """Raise a ValueError if there are too many weights for this search."""
        raise NotImplementedError

    def search(self, present: Tensor, closure: Closure) -> tuple[Tensor, Tensor]:
        """Choose weights `(P,)`, starting from the present ones `(P,)`; return them and their loss, shape `()`."""
        raise NotImplementedError


def lowest(blocks: Iterable[Tensor], closure: Closure) -> tuple[Tensor, Tensor]:
    """Return the first candidate `(P,)` with the lowest loss in all blocks `(M, P)`, and that loss; NaN never wins."""
    found: list[tuple[Tensor, Tensor]] = []
    for candidates in blocks:
        losses = closure(candidates).nan_to_num(math.inf, math.inf, -math.inf)
        best = losses.argmin()
        if not found or losses[best] < found[0][1]:
            found = [(candidates[best].clone(), losses[best])]
    return found[0]


def for_each(name: str, given: Any, length: int) -> Tensor:
    """Return lists of `length` numbers, one per weight or for all, as `(P, length)` or `(1, length)`."""
    try:
        rows = torch.tensor(given, dtype=torch.float64)
    except (TypeError, ValueError):
        rows = torch.empty(0)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != length or not len(rows) or not rows.isfinite().all():
        raise ValueError(f"{name}={given}: expected {length} numbers, or a list of {length} for each weight")
    return rows


def check_length(name: str, rows: Tensor, num_weights: int) -> None:
    """Raise a ValueError unless there is one list, or one for each weight."""
    if len(rows) not in (1, num_weights):
        raise ValueError(
            f"{name} has {len(rows)} lists, and the model has {num_weights} weights; expected a list for each, or one"
        )
