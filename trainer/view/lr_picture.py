"""The picture of a learning rate range test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainer.engine.lr_range import Curve
from trainer.view import style

MARKERS = ((style.VERMILION, "o"), (style.GREEN, "s"))


def lr_picture(curve: Curve, suggestions: Mapping[str, int], title: str, path: Path) -> None:
    """Draw raw and smoothed loss against the rate; `suggestions` maps labels to indices of the curve."""
    with style.look():
        picture, [panel] = style.figure(title, width=6.4, height=3.8)
        panel.plot(curve.lrs, curve.losses, color=style.GREY, linewidth=1, label="batch loss")
        panel.plot(curve.lrs, curve.smoothed, color=style.BLUE, linewidth=2, label="smoothed")
        for (name, index), (colour, marker) in zip(suggestions.items(), MARKERS, strict=False):
            lr, loss = curve.lrs[index], curve.smoothed[index]
            panel.axvline(lr, color=colour, linewidth=1, linestyle="--")
            panel.plot([lr], [loss], marker, color=colour, markersize=9, label=f"{name}: {lr:.2g}")
        bottom, top = min(curve.losses), 1.2 * max(curve.smoothed[: curve.lowest + 1])  # later losses may be huge
        style.logarithmic(panel.xaxis)
        panel.set(xlabel="learning rate", ylabel="training loss", ylim=(bottom - 0.05 * (top - bottom), top))
        panel.legend()
        style.save(picture, path)
