"""How large weights and gradients are, tensor by tensor: to see what is dead, vanishes or explodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trainer.engine.loop import full
from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import eager, some, title, training_batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 10  # tensors that are shown
LEAST = 8  # numbers in a tensor that make a histogram
VALUES = 200_000  # of a tensor that are counted
SECONDS = 0.1


def weights(outcome: Outcome) -> Figure | None:
    """Histograms of the weights, and of the gradient of one batch at them, on a logarithmic axis."""
    gradients, num_examples = gradient(outcome)
    named = {name: w for name, w in outcome.model.named_parameters() if name in gradients and w.numel() >= LEAST}
    matrices = [name for name, w in named.items() if w.ndim > 1] or list(named)
    if not matrices:
        return None
    names = [matrices[index] for index in some(len(matrices), ROWS).tolist()]
    sizes = [gradients[name].norm() for name in gradients]
    norm = float(torch.stack(sizes).norm())
    number = sum(w.numel() for w in outcome.model.parameters())
    head = title(outcome, f"{number:,} parameters, gradient of {num_examples} examples has norm {norm:.3g}")
    labels = [f"{style.short(name, 22)} ({named[name].numel():,})" for name in names]
    picture, panels = style.figure(
        head, 2, width=3.6, height=0.6 + 0.5 * len(names), left=style.room(labels) - 0.1, between=0.3
    )
    _ridges(panels[0], [_values(named[name].detach()) for name in names])
    sized = [_values(gradients[name]) for name in names]
    # A gradient of exactly 0 has no logarithm: it is counted in the axis' label.
    _ridges(panels[1], [np.log10(np.abs(g[g != 0])) for g in sized], style.VERMILION)
    dead = sum(int((g == 0).sum()) for g in sized) / max(1, sum(len(g) for g in sized))
    panels[0].set_yticks(range(len(names)), labels)
    panels[1].set_yticks(range(len(names)), [""] * len(names))
    panels[0].set(xlabel="weight")
    panels[1].set(xlabel=f"log10 of the size of the gradient ({100 * dead:.0f} % are 0)")
    return picture


def gradient(outcome: Outcome) -> tuple[dict[str, Tensor], int]:
    """Parameter -> gradient of the mean loss of some training examples, without dropout; and how many they are."""
    model = eager(outcome)
    inputs, targets = training_batch(outcome, model, most=256, seconds=SECONDS)
    learned = {name: w for name, w in model.named_parameters() if w.requires_grad}
    with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no gradient outside of training
        value = outcome.loss(full(model(inputs)), targets)
        found = torch.autograd.grad(value, list(learned.values()), allow_unused=True)
    return {name: g for name, g in zip(learned, found, strict=True) if g is not None}, len(targets)


def _values(tensor: Tensor) -> np.ndarray:
    """Some of the finite values."""
    index = some(tensor.numel(), VALUES).to(tensor.device)
    found = tensor.flatten()[index].float().cpu().numpy()
    return found[np.isfinite(found)]


def _ridges(panel: Axes, rows: list[np.ndarray], colour: str = style.BLUE) -> None:
    """A histogram for each row of values, one below the other on one axis, each as high as the others."""
    present = [row for row in rows if len(row)]
    low, high = (min(r.min() for r in present), max(r.max() for r in present)) if present else (0.0, 1.0)
    pad = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - pad, high + pad, 81)
    for place, row in enumerate(rows):
        heights = np.histogram(row, edges)[0]
        top = place - 0.85 * heights / max(1, heights.max())
        panel.fill_between(edges[:-1], np.full(80, float(place)), top, step="post", color=colour, alpha=0.75, lw=0)
        panel.axhline(place, color=style.GREY, linewidth=0.5)
    panel.set_ylim(len(rows) - 0.8, -1)
    panel.grid(False, axis="y")
    panel.tick_params(axis="y", length=0)
