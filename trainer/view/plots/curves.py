"""How the run went: losses, metrics and the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 20  # epochs that get a marker each, and updates that are not smoothed
TOGETHER = (("accuracy", "f1", "top5", "auc"), ("rmse", "mae"), ("mse",), ("r2",))  # metrics that share an axis


def smoothed(values: Sequence[float], span: float) -> np.ndarray:
    """Exponentially weighted mean: each value counts `1 - 2 / (span + 1)` of the one after it.

    The weights add up to one from the start on, as in pandas' `ewm(span=span).mean()`.
    """
    keep = 1 - 2 / (span + 1)
    found, total, weight = np.empty(len(values)), 0.0, 0.0
    for index, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        found[index] = total / weight
    return found


def curves(outcome: Outcome) -> Figure | None:
    """Loss and metrics of both splits after each epoch, and the loss of the updates, smoothed."""
    if not outcome.history:
        return None
    measured = [name.removeprefix("val/") for name in outcome.history[0] if name.startswith("val/")]
    groups = [[name for name in group if name in measured] for group in TOGETHER]
    if groups[1]:
        groups[2] = []  # the root of it is shown, in the units of the target
    groups = [group for group in groups if group]
    last = outcome.history[-1]
    first = measured[min(1, len(measured) - 1)]
    head = f"validation {first} {_best(outcome)[f'val/{first}']:.4g} in epoch {outcome.best_epoch}"
    width = 4.4 if len(groups) < 2 else 3.4
    picture, panels = style.figure(title(outcome, head), 1 + len(groups), width=width, left=0.8)
    _updates(panels[0], outcome)
    for panel, group in zip(panels, [["loss"], *groups], strict=True):
        for name, colour in zip(group, (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE), strict=False):
            _splits(panel, outcome, name, colour)
        panel.axvline(outcome.best_epoch, color=style.GREEN, linestyle=":", linewidth=1.2, zorder=1, label="best epoch")
        unit = f" ({outcome.spec.target_name})" if group[0] in ("rmse", "mae") else ""
        panel.set(xlabel="epoch", ylabel=" and ".join(group[:2]) + unit, xlim=(0, last["epoch"] * 1.03))
        if len(group) > 2:
            panel.set_ylabel("share")
        panel.legend()
    return picture


def _best(outcome: Outcome) -> dict[str, float]:
    rows = [row for row in outcome.history if row["epoch"] == outcome.best_epoch]
    return dict(rows[0] if rows else outcome.history[-1])


def _splits(panel: Axes, outcome: Outcome, name: str, colour: str) -> None:
    """A metric of training and validation after each epoch, the best one marked."""
    epochs = [row["epoch"] for row in outcome.history]
    marker = "o" if len(epochs) <= FEW else None
    for split, word, line in [("train", "training", "--"), ("val", "validation", "-")]:
        if f"{split}/{name}" in outcome.history[0]:
            values = [row[f"{split}/{name}"] for row in outcome.history]
            label = word if name == "loss" else f"{name}, {word}"
            panel.plot(epochs, values, line, color=colour, marker=marker, label=label)
    best = _best(outcome)
    panel.plot(best["epoch"], best[f"val/{name}"], "*", color=colour, markersize=11, markeredgecolor="white")


def _updates(panel: Axes, outcome: Outcome) -> None:
    """The loss of single updates behind that of the epochs, on a logarithmic axis where it falls far."""
    steps, losses, _ = outcome.recorder.losses()
    ends = np.array([(0, 0), *((row["step"], row["epoch"]) for row in outcome.history)])
    shown = list(losses)
    if len(steps) > 1:
        epochs = np.interp(steps, *ends.T)
        panel.plot(epochs, losses, color=style.LIGHT, linewidth=0.8, zorder=1, label="update")
    if len(steps) > FEW:
        shown = list(smoothed(losses, span := len(steps) / FEW))
        about = f"updates, mean of about {span * (steps[1] - steps[0]):,.0f}"
        panel.plot(epochs, shown, color=style.ORANGE, linewidth=1.3, zorder=1.5, label=about)
    shown += [row[name] for row in outcome.history for name in ("train/loss", "val/loss")]
    finite = [value for value in shown if np.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
        style.logarithmic(panel.yaxis)


def schedule(outcome: Outcome) -> Figure | None:
    """The learning rate of the next update, after each of them."""
    steps, _, rates = outcome.recorder.losses()
    if not steps:
        return None
    picture, [panel] = style.figure(
        title(
            outcome, f"{outcome.names['optim']}, {outcome.names['scheduler']} learning rate, at most {max(rates):.3g}"
        ),
        width=5.2,
        height=2.8,
        left=0.75,
    )
    panel.plot(steps, rates, color=style.BLUE, drawstyle="steps-post" if len(steps) < 100 else "default")
    panel.set(xlabel="updates made", ylabel="learning rate", xlim=(0, steps[-1] * 1.03))
    panel.set_ylim(0, (max(rates) or 1) * 1.08)
    return picture
