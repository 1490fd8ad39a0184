"""Predicted against true values, in the units of the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.view import style
from trainer.view.outcome import Outcome, evenly_spaced


def predictions(outcome: Outcome) -> style.Figure | None:
    """Draw predicted against true values of the test split; a perfect model has all points on the diagonal."""
    if not (values := _values(outcome)):
        return None
    predicted, true = values
    name, error = outcome.spec.target_name, predicted - true
    spread = np.square(true - true.mean()).sum()
    explained = f", r2 {1 - np.square(error).sum() / spread:.3f}" if spread > 0 else ""
    head = outcome.title(f"test rmse {np.sqrt(np.square(error).mean()):.4g}{explained}")
    picture, [panel] = style.figure(head, width=4.4, height=4.0)
    ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
    panel.plot(ends, ends, color=style.DARK, linewidth=1, linestyle="--", label="perfect")
    _scatter(panel, true, predicted, label=f"{len(true):,} test examples")
    panel.set(xlabel=f"true {name}", ylabel=f"predicted {name}", aspect="equal", adjustable="datalim")
    panel.legend(loc="upper left")
    return picture


def residuals(outcome: Outcome) -> style.Figure | None:
    """Draw how large the errors are, and where."""
    if not (values := _values(outcome)):
        return None
    predicted, true = values
    name, error = outcome.spec.target_name, predicted - true
    mean = error.mean() if abs(error.mean()) > 1e-9 * error.std() else 0.0
    head = outcome.title(f"mean test error {mean:+.3g} ± {error.std():.3g}")
    picture, [left, right] = style.figure(head, 2, width=3.8)
    left.hist(error, bins=min(40, max(5, int(2 * len(error) ** 0.5))), color=style.BLUE)
    left.set(xlabel=f"predicted - true {name}", ylabel="test examples")
    _scatter(right, predicted, error)
    right.set(xlabel=f"predicted {name}", ylabel=f"predicted - true {name}")
    for axis in (left.axvline, right.axhline):
        axis(0, color=style.DARK, linewidth=1, linestyle="--")
    return picture


def _values(outcome: Outcome) -> tuple[np.ndarray, np.ndarray] | None:
    """Return finite predictions and their true values `(N,)` in the units of the file, or None for classes."""
    if outcome.has_classes:
        return None
    pair = (outcome.spec.in_units(part.double()).flatten().numpy() for part in (outcome.outputs, outcome.targets))
    predicted, true = pair
    finite = np.isfinite(predicted)
    return (predicted[finite], true[finite]) if finite.any() else None


def _scatter(panel: style.Axes, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    """Draw some of the points, fainter the more there are."""
    shown = evenly_spaced(len(x)).numpy()
    faint = 0.8 if len(shown) < 200 else 0.45 if len(shown) < 1000 else 0.25
    panel.plot(x[shown], y[shown], "o", color=style.BLUE, markersize=4, alpha=faint, markeredgewidth=0, **options)
