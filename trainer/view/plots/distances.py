"""How each parameter reaches its final value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALARS = 6  # parameters that get a line each; with more, each tensor does


def distances(outcome: Outcome) -> Figure | None:
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
    head = title(outcome, f"distance of each {'tensor' if by_tensor else 'parameter'} to its final value")
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
