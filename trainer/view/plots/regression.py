"""Values that were predicted against those that are true, in the units of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import has_classes, some, title, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions(outcome: Outcome) -> Figure | None:
    """Prediction against truth of the test split; a perfect model has all points on the diagonal."""
    if has_classes(outcome):
        return None
    said, true = (part.numpy() for part in values(outcome))
    if not len(said):
        return None
    name, error = outcome.spec.target_name, said - true
    spread = np.square(true - true.mean()).sum()
    explained = f", r2 {1 - np.square(error).sum() / spread:.3f}" if spread > 0 else ""
    head = title(outcome, f"test rmse {np.sqrt(np.square(error).mean()):.4g}{explained}")
    picture, [panel] = style.figure(head, width=4.4, height=4.0)
    shown = some(len(true)).numpy()
    ends = np.array([min(true.min(), said.min()), max(true.max(), said.max())])
    panel.plot(ends, ends, color=style.DARK, linewidth=1, linestyle="--", label="perfect")
    cloud(panel, true[shown], said[shown], label=f"{len(true):,} test examples")
    panel.set(xlabel=f"true {name}", ylabel=f"predicted {name}", aspect="equal", adjustable="datalim")
    panel.legend(loc="upper left")
    return picture


def residuals(outcome: Outcome) -> Figure | None:
    """Prediction less truth: how large, and where."""
    if has_classes(outcome):
        return None
    said, true = (part.numpy() for part in values(outcome))
    if not len(said):
        return None
    name, error = outcome.spec.target_name, said - true
    mean = error.mean() if abs(error.mean()) > 1e-9 * error.std() else 0.0
    head = title(outcome, f"test errors of {mean:+.3g} on average, ± {error.std():.3g}")
    picture, [left, right] = style.figure(head, 2, width=3.8)
    left.hist(error, bins=min(40, max(5, int(2 * len(error) ** 0.5))), color=style.BLUE)
    left.set(xlabel=f"predicted - true {name}", ylabel="test examples")
    shown = some(len(true)).numpy()
    cloud(right, said[shown], error[shown])
    right.set(xlabel=f"predicted {name}", ylabel=f"predicted - true {name}")
    for axis in (left.axvline, right.axhline):
        axis(0, color=style.DARK, linewidth=1, linestyle="--")
    return picture


def cloud(panel, x: np.ndarray, y: np.ndarray, **options: object) -> None:  # type: ignore[no-untyped-def]
    """Points, the fainter the more of them."""
    faint = 0.8 if len(x) < 200 else 0.45 if len(x) < 1000 else 0.25
    panel.plot(x, y, "o", color=style.BLUE, markersize=4, alpha=faint, markeredgewidth=0, **options)
