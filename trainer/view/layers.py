"""The layers of a model in the order in which they run, with their output shapes."""

from __future__ import annotations

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
    depths = sorted({name.count(".") for name, _ in model.named_modules() if name}) or [0]
    found: list[Layer] = []
    for depth in depths:
        finer = _run(model, sample, depth)
        if found and len(finer) > MOST_ROWS:
            break
        found = finer
    return found


def _run(model: nn.Module, sample: Tensor, depth: int) -> list[Layer]:
    """Return the layers at `depth`, and those above it without children."""
    rows: list[Layer] = []
    handles = []
    for name, module in model.named_modules():
        if name and (name.count(".") == depth or (name.count(".") < depth and not list(module.children()))):

            def note(module: nn.Module, inputs: object, output: object, name: str = name) -> None:
                shape = tuple(getattr(output, "shape", ())[1:])
                rows.append(Layer(name, type(module).__name__, shape, sum(p.numel() for p in module.parameters())))

            handles.append(module.register_forward_hook(note))
    try:
        model.eval()(sample)
    finally:
        for handle in handles:
            handle.remove()
    return rows
