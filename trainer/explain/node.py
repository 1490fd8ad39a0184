"""The nodes of a graph: a list in which each comes after all that it is computed from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    """How large the numbers in a value or gradient are."""

    numel: int
    mean: float
    rms: float  # root of the mean square
    zeros: float  # share of the numbers that are exactly 0

    @property
    def norm(self) -> float:
        """Euclidean norm of all numbers."""
        return self.rms * math.sqrt(self.numel)


class Call(NamedTuple):
    """One call of a module; a module called twice has two."""

    module: str  # such as layer1.0.conv1; "" is the model itself
    kind: str  # its class
    number: int


@dataclass(frozen=True)
class Node:
    """A function that was called or, as a leaf, the input or a parameter."""

    number: int  # index in the list
    name: str  # of the parameter, such as 1.weight, or of the function, such as linear
    calls: tuple[Call, ...]  # of the modules in which it happened, outermost first
    inputs: tuple[int, ...]  # smaller numbers of other nodes
    shape: tuple[int, ...]  # with the batch; of the first tensor if there are several
    is_leaf: bool = False
    value: Size | None = None  # None for tokens
    gradient: Size | None = None  # of the loss by the value; None if the loss does not depend on it
    mark: str = ""  # vanishing, exploding or dead: see marks.py

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter; the other leaf is the input, which belongs to no module."""
        return self.is_leaf and bool(self.calls)

    @property
    def title(self) -> str:
        """The module in which it happened and its name; only the name of a leaf."""
        return self.name if self.is_leaf else f"{self.calls[-1].module} {self.name}".strip()


def pooled(sizes: Sequence[Size | None]) -> Size | None:
    """Return the size of all numbers together, or None if there are no numbers."""
    known = [size for size in sizes if size]
    numel = sum(size.numel for size in known)
    if not numel:
        return None
    return Size(
        numel,
        sum(size.numel * size.mean for size in known) / numel,
        math.sqrt(sum(size.numel * size.rms**2 for size in known) / numel),
        sum(size.numel * size.zeros for size in known) / numel,
    )
