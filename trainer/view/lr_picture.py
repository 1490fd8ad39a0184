"""The picture of a learning-rate range test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.lr_range import Curve

GREY, BLUE = "0.7", "#0072B2"  # of Okabe and Ito, as all colours here
MARKERS = (("#D55E00", "o"), ("#009E73", "s"))


def lr_picture(curve: Curve, suggestions: Mapping[str, int], title: str, path: Path) -> None:
    """Draw raw and smoothed loss against the rate; `suggestions` are indices of the curve, with what they are."""
    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(curve.lrs, curve.losses, color=GREY, linewidth=1, label="loss of a batch")
    axes.plot(curve.lrs, curve.smoothed, color=BLUE, linewidth=2, label="smoothed")
    for (name, index), (colour, marker) in zip(suggestions.items(), MARKERS, strict=False):
        lr, loss = curve.lrs[index], curve.smoothed[index]
        axes.axvline(lr, color=colour, linewidth=1, linestyle="--")
        axes.plot([lr], [loss], marker, color=colour, markersize=9, label=f"{name}: {lr:.2g}")
    bottom, top = min(curve.losses), 1.2 * max(curve.smoothed[: curve.lowest + 1])  # it may rise much higher behind
    axes.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="training loss",
        title=title,
        ylim=(bottom - 0.05 * (top - bottom), top),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
