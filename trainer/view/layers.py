"""The layers of a model in the order in which they run, with their output shapes."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

MOST_ROWS = 24


class Layer(NamedTuple):
    """One row of the model table; `shape` excludes the batch."""

    name: str
    kind: str
    shape: tuple[int, ...]
    num_parameters: int


@torch.no_grad()
def layers_of(model: nn.Module, sample: Tensor) -> list[Layer]:
    """Return the layers of `model` as it reads `sample`, at the finest level of nesting that fits in 24 rows."""
    rows: list[Layer] = []

    def note(name: str, module: nn.Module, inputs: object, output: object) -> None:
        shape = tuple(getattr(output, "shape", ())[1:])
        rows.append(Layer(name, type(module).__name__, shape, sum(p.numel() for p in module.parameters())))

    inner = {name: module for name, module in model.named_modules() if name}
    handles = [module.register_forward_hook(partial(note, name)) for name, module in inner.items()]
    try:
        model.eval()(sample)
    finally:
        for handle in handles:
            handle.remove()
    leaves = {name for name, module in inner.items() if not list(module.children())}
    found: list[Layer] = []
    for depth in sorted({name.count(".") for name in inner}):
        above = {name for name in leaves if name.count(".") < depth}  # not nested this deep
        finer = [row for row in rows if row.name.count(".") == depth or row.name in above]
        if found and len(finer) > MOST_ROWS:
            break
        found = finer
    return found
