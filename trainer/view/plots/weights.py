"""How the weights and their gradients are distributed, and how each reaches its final value."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainer.engine.loop import full
from trainer.view import style
from trainer.view.outcome import Outcome, evenly_spaced

ROWS = 10  # tensors shown
LEAST = 8  # numbers that make a histogram
VALUES = 200_000  # of a tensor, counted at most
SECONDS = 0.1  # budget for the gradient's batch
SCALARS = 6  # parameters that get a line each; with more, each tensor does


def weights(outcome: Outcome) -> style.Figure | None:
    """Draw histograms of the weights and, on a logarithmic axis, of the gradient of one batch at them."""
    gradients, num_examples = gradient(outcome)
    named = {name: w for name, w in outcome.model.named_parameters() if name in gradients and w.numel() >= LEAST}
    matrices = [name for name, w in named.items() if w.ndim > 1] or list(named)
    if not matrices:
        return None
    names = [matrices[index] for index in evenly_spaced(len(matrices), ROWS).tolist()]
    norm = float(torch.nn.utils.get_total_norm(gradients.values()))
    number = sum(w.numel() for w in outcome.model.parameters())
    head = outcome.title(f"{number:,} parameters, gradient norm {norm:.3g} over {num_examples} examples")
    labels = [f"{style.short(name, 22)} ({named[name].numel():,})" for name in names]
    height, left = 0.6 + 0.5 * len(names), style.room(labels) - 0.1
    picture, panels = style.figure(head, 2, width=3.6, height=height, left=left, between=0.3)
    _ridges(panels[0], [_values(named[name].detach()) for name in names])
    sized = [_values(gradients[name]) for name in names]
    # A gradient of exactly 0 has no logarithm; the label of the axis counts those.
    _ridges(panels[1], [np.log10(np.abs(g[g != 0])) for g in sized], style.VERMILION)
    dead = sum(int((g == 0).sum()) for g in sized) / max(1, sum(len(g) for g in sized))
    panels[0].set_yticks(range(len(names)), labels)
    panels[1].set_yticks(range(len(names)), [""] * len(names))
    panels[0].set(xlabel="weight")
    panels[1].set(xlabel=f"log10 |gradient| ({100 * dead:.0f} % are 0)")
    return picture


def gradient(outcome: Outcome) -> tuple[dict[str, Tensor], int]:
    """Return parameter -> gradient of the mean loss of some training examples, without dropout, and their number."""
    model = outcome.eager()
    inputs, targets = outcome.training_batch(model, most=256, seconds=SECONDS)
    learned = {name: w for name, w in model.named_parameters() if w.requires_grad}
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrent layers have no gradient in evaluation
        value = outcome.loss(full(model(inputs)), targets)
        found = torch.autograd.grad(value, list(learned.values()), allow_unused=True)
    return {name: g for name, g in zip(learned, found, strict=True) if g is not None}, len(targets)


def _values(tensor: Tensor) -> np.ndarray:
    """Return some of the finite values."""
    index = evenly_spaced(tensor.numel(), VALUES).to(tensor.device)
    found = tensor.flatten()[index].float().cpu().numpy()
    return found[np.isfinite(found)]


def _ridges(panel: style.Axes, rows: list[np.ndarray], colour: str = style.BLUE) -> None:
    """Draw a histogram of each row of values, one below the other on one axis, all equally high."""
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


def distances(outcome: Outcome) -> style.Figure | None:
    """Draw the distance of each parameter, or tensor, to its final value, against the updates."""
    steps, path = outcome.recorder.path()  # (S, P)
    if len(steps) < 3:
        return None
    way = path - path[-1]
    by_tensor = path.shape[1] > SCALARS
    if by_tensor:
        sizes = [p.numel() for p in outcome.recorder.parameters.values()]
        lengths = [part.norm(dim=1) for part in way.split(sizes, 1)]
        lines = dict(zip(outcome.recorder.parameters, lengths, strict=True))
    else:
        lines = dict(zip(scalars(outcome), way.abs().unbind(1), strict=True))
    moved = {name: line for name, line in lines.items() if line.max() > 0}
    if not moved:
        return None
    named = sorted(moved, key=lambda name: -float(moved[name].max()))[: len(style.COLOURS)]
    head = outcome.title(f"distance of each {'tensor' if by_tensor else 'parameter'} to its final value")
    picture, [panel] = style.figure(head, width=5.2, height=3.4)
    marker = "o" if len(steps) <= 20 else ""
    for name, line in moved.items():
        shown = (line / line.max() if by_tensor else line).numpy()
        colour, label, order = style.LIGHT, None, 2
        if name in named:
            colour, label, order = style.COLOURS[named.index(name)], style.short(name, 24), 3
        panel.plot(steps, shown, color=colour, label=label, zorder=order, marker=marker)
    panel.set(xlabel="updates", xlim=(steps[0], steps[-1]))
    panel.set_ylabel("distance / largest distance" if by_tensor else "distance")
    panel.legend(title="moved farthest" if len(named) < len(moved) else None)
    return picture


def scalars(outcome: Outcome) -> list[str]:
    """Name each scalar parameter."""
    parameters = outcome.recorder.parameters
    return [f"{name}[{i}]" if p.numel() > 1 else name for name, p in parameters.items() for i in range(p.numel())]
