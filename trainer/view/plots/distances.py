"""How each parameter comes to its final value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALARS = 6  # parameters that are shown each by itself; of more, each tensor


def distances(outcome: Outcome) -> Figure | None:
    """How far each parameter is from its final value, against the updates."""
    steps, path = outcome.recorder.path()  # (S, P)
    if len(steps) < 3:
        return None
    way = path - path[-1]
    if path.shape[1] <= SCALARS:
        lines = dict(zip(scalars(outcome), way.abs().unbind(1), strict=True))
    else:
        sizes = [p.numel() for p in outcome.recorder.parameters.values()]
        lengths = [part.norm(dim=1) for part in way.split(sizes, 1)]
        lines = dict(zip(outcome.recorder.parameters, lengths, strict=True))
    moved = {name: line for name, line in lines.items() if line.max() > 0}
    if not moved:
        return None
    relative = path.shape[1] > SCALARS
    named = sorted(moved, key=lambda name: -float(moved[name].max()))[: len(style.COLOURS)]
    head = f"{steps[-1] - steps[0]:,} updates to the final value of each {'tensor' if relative else 'parameter'}"
    picture, [panel] = style.figure(title(outcome, head), width=5.2, height=3.4)
    for name, line in moved.items():
        shown = (line / line.max() if relative else line).numpy()
        known = name in named
        colour = style.COLOURS[named.index(name)] if known else style.LIGHT
        label = style.short(name, 24) if known else None
        panel.plot(
            steps, shown, color=colour, label=label, zorder=3 if known else 2, marker="o" if len(steps) <= 20 else ""
        )
    panel.set(xlabel="updates made", xlim=(steps[0], steps[-1]))
    panel.set_ylabel("distance / largest distance" if relative else "distance")
    panel.legend(title="farthest of all" if len(named) < len(moved) else None)
    return picture


def scalars(outcome: Outcome) -> list[str]:
    """A name for each scalar parameter."""
    parameters = outcome.recorder.parameters
    return [f"{name}[{i}]" if p.numel() > 1 else name for name, p in parameters.items() for i in range(p.numel())]
