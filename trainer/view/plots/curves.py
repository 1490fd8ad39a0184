"""Curves of training: losses, metrics and the learning rate of a run, and a learning rate range test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from trainer.engine.lr_range import Curve
from trainer.metrics.names import HIGHER
from trainer.view import style
from trainer.view.outcome import Outcome

FEW = 20  # epochs that get a marker each, and updates that are not smoothed
SUGGESTED = ((style.VERMILION, "o"), (style.GREEN, "s"))  # colours and markers
IN_UNITS = ("rmse", "mae", "median_ae")  # of the target
OF_CHANCES = ("log_loss", "brier", "ece")
TOGETHER = (tuple(name for name in HIGHER if name != "r2"), IN_UNITS, OF_CHANCES)  # metrics that share an axis
COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE)


def smoothed(values: Sequence[float], span: float) -> np.ndarray:
    """Return the exponentially weighted mean, like pandas' `ewm(span=span).mean()` but without importing it."""
    keep = 1 - 2 / (span + 1)
    totals, weights = (accumulate(terms, lambda a, b: keep * a + b) for terms in (values, [1.0] * len(values)))
    return np.array([*totals]) / np.array([*weights])


def curves(outcome: Outcome) -> style.Figure | None:
    """Draw loss and metrics of both splits per epoch, and the smoothed loss of the updates."""
    if not outcome.history:
        return None
    measured = [name.removeprefix("val/") for name in outcome.history[0] if name.startswith("val/")]
    groups = _groups([name for name in measured if name != "loss" and not (name == "mse" and "rmse" in measured)])
    first = measured[min(1, len(measured) - 1)]
    head = f"validation {first} {_best(outcome)[f'val/{first}']:.4g} in epoch {outcome.best_epoch}"
    width = 4.4 if len(groups) < 2 else 3.4
    picture, panels = style.figure(outcome.title(head), 1 + len(groups), width=width, left=0.8)
    _updates(panels[0], outcome)
    for panel, group in zip(panels, [["loss"], *groups], strict=True):
        for name, colour in zip(group, COLOURS, strict=False):
            _splits(panel, outcome, name, colour)
        panel.axvline(outcome.best_epoch, color=style.GREEN, linestyle=":", linewidth=1.2, zorder=1, label="best epoch")
        unit = f" ({outcome.spec.target_name})" if group[0] in IN_UNITS else ""
        panel.set(xlabel="epoch", xlim=(0, outcome.history[-1]["epoch"] * 1.03))
        panel.set_ylabel("score" if len(group) > 2 and not unit else " and ".join(group) + unit)
        panel.legend()
    return picture


def _groups(names: Sequence[str]) -> list[list[str]]:
    """Divide metrics into those of each panel: with the same axis, and no more than there are colours."""
    most = len(COLOURS)
    alone = [(name,) for name in names if not any(name in group for group in TOGETHER)]
    found = [[name for name in names if name in group] for group in (*TOGETHER, *alone)]
    return [part for group in found for first in range(0, len(group), most) if (part := group[first : first + most])]


def _best(outcome: Outcome) -> Mapping[str, float]:
    return next((row for row in outcome.history if row["epoch"] == outcome.best_epoch), outcome.history[-1])


def _splits(panel: style.Axes, outcome: Outcome, name: str, colour: str) -> None:
    """Draw a metric of training and validation per epoch, and mark the best epoch."""
    epochs = [row["epoch"] for row in outcome.history]
    marker = "o" if len(epochs) <= FEW else None
    for split, word, line in [("train", "training", "--"), ("val", "validation", "-")]:
        if f"{split}/{name}" in outcome.history[0]:
            values = [row[f"{split}/{name}"] for row in outcome.history]
            label = word if name == "loss" else f"{name}, {word}"
            panel.plot(epochs, values, line, color=colour, marker=marker, label=label)
    best = _best(outcome)
    panel.plot(best["epoch"], best[f"val/{name}"], "*", color=colour, markersize=11, markeredgecolor="white")


def _updates(panel: style.Axes, outcome: Outcome) -> None:
    """Draw the loss of single updates behind that of the epochs; logarithmic where it falls far."""
    steps, losses, _ = outcome.recorder.losses()
    ends = np.array([(0, 0), *((row["step"], row["epoch"]) for row in outcome.history)])
    shown = list(losses)
    if len(steps) > 1:
        epochs = np.interp(steps, *ends.T)
        panel.plot(epochs, losses, color=style.LIGHT, linewidth=0.8, zorder=1, label="update")
    if len(steps) > FEW:
        shown = list(smoothed(losses, span := len(steps) / FEW))
        about = f"mean of about {span * (steps[1] - steps[0]):,.0f} updates"
        panel.plot(epochs, shown, color=style.ORANGE, linewidth=1.3, zorder=1.5, label=about)
    shown += [row[name] for row in outcome.history for name in ("train/loss", "val/loss")]
    finite = [value for value in shown if np.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
        style.logarithmic(panel.yaxis)


def schedule(outcome: Outcome) -> style.Figure | None:
    """Draw the learning rate of the next update, after each of them."""
    steps, _, rates = outcome.recorder.losses()
    if not steps:
        return None
    names = outcome.names
    head = f"{names['optim']}, {names['scheduler']} learning rate, at most {max(rates):.3g}"
    picture, [panel] = style.figure(outcome.title(head), width=5.2, height=2.8, left=0.75)
    panel.plot(steps, rates, color=style.BLUE, drawstyle="steps-post" if len(steps) < 100 else "default")
    panel.set(xlabel="updates", ylabel="learning rate", xlim=(0, steps[-1] * 1.03), ylim=(0, (max(rates) or 1) * 1.08))
    return picture


def lr_picture(curve: Curve, suggestions: Mapping[str, int], title: str, path: Path) -> None:
    """Draw raw and smoothed loss against the rate; `suggestions` maps labels to indices of the curve."""
    with style.look():
        picture, [panel] = style.figure(title, width=6.4, height=3.8)
        panel.plot(curve.lrs, curve.losses, color=style.GREY, linewidth=1, label="batch loss")
        panel.plot(curve.lrs, curve.smoothed, color=style.BLUE, linewidth=2, label="smoothed")
        for (name, index), (colour, marker) in zip(suggestions.items(), SUGGESTED, strict=False):
            lr, loss = curve.lrs[index], curve.smoothed[index]
            panel.axvline(lr, color=colour, linewidth=1, linestyle="--")
            panel.plot([lr], [loss], marker, color=colour, markersize=9, label=f"{name}: {lr:.2g}")
        bottom, top = min(curve.losses), 1.2 * max(curve.smoothed[: curve.lowest + 1])  # later losses may be huge
        style.logarithmic(panel.xaxis)
        panel.set(xlabel="learning rate", ylabel="training loss", ylim=(bottom - 0.05 * (top - bottom), top))
        panel.legend()
        style.save(picture, path)
