"""What a model predicts, in the units of the file: against the true values, or over its one feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from trainer.data.tensors import BatchLoader
from trainer.view import style
from trainer.view.outcome import Outcome, evenly_spaced, probabilities

LAST = "after the last epoch"


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


def fit(outcome: Outcome) -> style.Figure | None:
    """Draw what the model predicts for each value of its one feature, in the units of the file."""
    if outcome.spec.in_shape != (1,) or outcome.spec.kind != "features":
        return None
    splits = {"training": _data(outcome, outcome.data.train), "test": _data(outcome, outcome.data.test)}
    if all(torch.equal(*pair) for pair in zip(*splits.values(), strict=True) if pair[0].shape == pair[1].shape):
        del splits["training"]
    x = torch.cat([x for x, _ in splits.values()])
    margin = 0.1 * (float(x.max() - x.min()) or 1.0)
    line = torch.linspace(float(x.min()) - margin, float(x.max()) + margin, 200, dtype=torch.float64)
    draw = _probabilities if outcome.has_classes else _line
    return draw(outcome, splits, line.numpy(), *_outputs(outcome, line))


def _data(outcome: Outcome, loader: BatchLoader) -> tuple[Tensor, Tensor]:
    """Return the feature and the target of some examples, in the units of the file, `(N,)` each."""
    index, spec = evenly_spaced(len(loader.targets)), outcome.spec
    x = loader.stored(index).double()
    if spec.feature_mean is not None and spec.feature_std is not None:
        x = x * spec.feature_std + spec.feature_mean
    y = loader.targets.cpu()[index].double().flatten()
    return x.flatten(), y if outcome.has_classes else spec.in_units(y)


@torch.no_grad()
def _outputs(outcome: Outcome, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return outputs `(N, K)` at feature values `x` of the file, and those of the last weights if they differ."""
    spec, loader = outcome.spec, outcome.data.test
    if spec.feature_mean is not None and spec.feature_std is not None:
        x = (x - spec.feature_mean) / spec.feature_std
    stored = x[:, None].to(loader.stored(torch.tensor([0])).dtype)
    inputs = loader.prepare(stored.to(loader.targets.device))
    model = outcome.eager()
    chosen = model(inputs).cpu()
    last = functional_call(model, outcome.recorder.last(), (inputs.clone(),)).cpu()
    return chosen, None if torch.allclose(chosen, last, rtol=1e-3, atol=1e-3) else last


def _scatter_splits(panel: style.Axes, splits: dict[str, tuple[Tensor, Tensor]], jitter: float = 0.0) -> None:
    """Draw the data; many points are spread a little along y so that they do not hide each other."""
    for (name, (x, y)), colour in zip(splits.items(), (style.SKY, style.BLUE)[-len(splits) :], strict=True):
        spread = jitter * np.random.default_rng(0).uniform(-1, 1, len(y)) if len(y) > 50 else 0.0
        size, faint = (6, 1.0) if len(y) <= 20 else (4, 0.5)
        label = f"{name} data" if len(splits) > 1 else "data"
        panel.plot(x, y.numpy() + spread, "o", color=colour, alpha=faint, markersize=size, mew=0, label=label)


def _line(
    outcome: Outcome, splits: dict[str, tuple[Tensor, Tensor]], x: np.ndarray, outputs: Tensor, last: Tensor | None
) -> style.Figure:
    feature, target = outcome.spec.feature_names[0], outcome.spec.target_name
    formula, in_units = f"{target}({feature})", outcome.spec.in_units
    explain = getattr(outcome.model, "learned", None)
    if learned := explain and explain(outcome.spec):
        formula = f"{target} = {learned['w'][0]:.4g} {feature} {learned['b'][0]:+.4g}"
    picture, [panel] = style.figure(outcome.title(formula), width=5.2, height=3.6)
    _scatter_splits(panel, splits)
    label = f"model of epoch {outcome.best_epoch}"
    panel.plot(x, in_units(outputs.double())[:, 0], color=style.VERMILION, linewidth=2, label=label)
    if last is not None:
        panel.plot(x, in_units(last.double())[:, 0], "--", color=style.GREY, label=LAST)
    panel.set(xlabel=feature, ylabel=target)
    panel.legend()
    return picture


def _probabilities(
    outcome: Outcome, splits: dict[str, tuple[Tensor, Tensor]], x: np.ndarray, outputs: Tensor, last: Tensor | None
) -> style.Figure:
    feature, names, chances = outcome.spec.feature_names[0], outcome.class_names, probabilities(outputs).numpy()
    edges = [float(x[i : i + 2].mean()) for i in np.flatnonzero(np.diff(chances.argmax(1)))]
    boundaries = ", ".join(f"{edge:.3g}" for edge in edges[:4])
    text = f"decision boundary at {feature} = {boundaries}" if edges else "predicts one class everywhere"
    picture, [panel] = style.figure(outcome.title(text), width=5.2, height=3.6)
    if len(names) == 2:
        _scatter_splits(panel, splits, jitter=0.03)
        panel.axhline(0.5, color=style.GREY, linewidth=0.8)
        first, second = map(style.short, names)
        panel.set_yticks([0, 0.5, 1], [f"0: {first}", "0.5", f"1: {second}"], rotation=90, va="center")
        about = f"probability of {second}, epoch {outcome.best_epoch}"
        panel.plot(x, chances[:, 1], color=style.VERMILION, linewidth=2, label=about)
        if last is not None:
            panel.plot(x, probabilities(last)[:, 1], "--", color=style.GREY, label=LAST)
    else:
        for number, name in enumerate(names[: len(style.COLOURS)]):
            panel.plot(x, chances[:, number], color=style.COLOURS[number], label=style.short(name))
    for edge in edges:
        panel.axvline(edge, color=style.GREY, linestyle=":", linewidth=1)
    panel.set(xlabel=feature, ylabel="probability", ylim=(-0.08, 1.08))
    panel.legend(loc="best")
    return picture
