"""The way of the weights: over the surface of the loss, and to their final values."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from trainer.loop import full
from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import eager, title, training_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS = 0.5  # for the surface
SIDE, LEAST_SIDE = 31, 11  # points of the grid in each direction, at most, and before fewer examples are read
MARGIN = 0.4  # around the path, as a share of its extent
EXACT = 10_000  # examples of which the loss of a model with two parameters is taken
SAMPLE = 512  # and of a larger one
STEPS = 100  # of the path, of which the main directions are taken


class Plane(NamedTuple):
    """Weights `origin + x * axes[0] + y * axes[1]`; the axes are orthonormal."""

    origin: Tensor  # (P,)
    axes: Tensor  # (2, P)

    def places(self, weights: Tensor) -> np.ndarray:
        """Coordinates `(S, 2)` of the points of the plane that are nearest to weights `(S, P)`."""
        return ((weights - self.origin) @ self.axes.T).double().numpy()


class Surface(NamedTuple):
    """The loss on a grid around the path; coordinates are those of the plane."""

    x: np.ndarray  # (X,)
    y: np.ndarray  # (Y,)
    loss: np.ndarray  # (Y, X), mean over num_examples
    path: np.ndarray  # (S, 2), its end is the final weights
    chosen: np.ndarray  # (2,), the weights that the validation split chose
    labels: tuple[str, str]
    num_examples: int


def main_plane(path: Tensor) -> tuple[Plane, list[float]]:
    """The plane through the end of a path `(S, P)` in which it moves most, and the share of the way along each axis.

    Principal components of the weights less the final ones (Li et al., Visualizing the loss landscape of neural nets,
    2018), by the inner products of a few steps. Where the path is a line, the second axis is drawn at random.
    """
    steps = torch.linspace(0, len(path) - 1, min(len(path), STEPS)).round().long()
    moved = (path[steps] - path[-1]).double()
    variances, mixtures = torch.linalg.eigh(moved @ moved.T)
    shares = variances.flip(0)[:2].clamp_min(0) / variances.sum().clamp_min(1e-300)
    axes = mixtures.flip(1)[:, :2].T @ moved  # (2, P)
    if shares[1] < 1e-9:
        axes[1] = torch.randn(axes.shape[1], generator=torch.Generator().manual_seed(0), dtype=axes.dtype)
        axes[1] -= axes[1] @ axes[0] / axes[0].square().sum() * axes[0]
    axes = torch.nn.functional.normalize(axes, dim=1)
    axes = axes * torch.where(axes @ moved[0] > 0, -1.0, 1.0)[:, None]  # training goes to the right, and up
    return Plane(path[-1], axes.to(path.dtype)), shares.tolist()


def landscape(outcome: Outcome) -> Surface | None:
    """The loss around the path of the weights; nothing where they have not moved or the model is too slow."""
    path = outcome.recorder.path()[1]  # (S, P)
    if len(path) < 2 or path.shape[1] < 2 or not path.isfinite().all() or torch.equal(path[0], path[-1]):
        return None
    model = eager(outcome)
    learned = dict(model.named_parameters())
    if path.shape[1] == 2:
        plane = Plane(torch.zeros_like(path[0]), torch.eye(2, dtype=path.dtype))
        labels = _scalars(outcome)
    else:
        plane, shares = main_plane(path)
        labels = [
            f"{word} direction of the path ({100 * share:.0f} % of its way)"
            for word, share in zip(("main", "second"), shares, strict=True)
        ]
    places = plane.places(path)
    chosen = torch.cat([w.detach().flatten().cpu() for w in learned.values()])[None]
    around = np.concatenate([places, plane.places(chosen)])
    low, high = around.min(0), around.max(0)
    margin = MARGIN * np.maximum(high - low, 0.3 * (high - low).max())

    exact = path.shape[1] == 2
    inputs, targets = training_batch(outcome, model, most=EXACT if exact else SAMPLE, seconds=SECONDS / LEAST_SIDE**2)

    @torch.no_grad()
    def loss(x: float, y: float) -> float:
        flat = plane.origin + x * plane.axes[0] + y * plane.axes[1]
        parts = flat.split([w.numel() for w in learned.values()])
        weights = {n: part.view_as(w).to(w) for (n, w), part in zip(learned.items(), parts, strict=True)}
        return float(outcome.loss(full(functional_call(model, weights, (inputs,))), targets))

    start = time.perf_counter()
    loss(*places[-1])
    side = min(SIDE, int(math.sqrt(SECONDS / (time.perf_counter() - start))))
    if side < 5:
        return None
    x, y = np.linspace(low - margin, high + margin, side).T
    values = np.array([[loss(a, b) for a in x] for b in y])
    return Surface(x, y, values, places, around[-1], (labels[0], labels[1]), len(targets))


def _scalars(outcome: Outcome) -> list[str]:
    """A name for each scalar parameter."""
    parameters = outcome.recorder.parameters
    return [f"{name}[{i}]" if p.numel() > 1 else name for name, p in parameters.items() for i in range(p.numel())]


def surface(outcome: Outcome) -> Figure | None:
    """The loss over two parameters, or over the two main directions of a larger model's path, with the path on it."""
    found = landscape(outcome)
    if found is None or not np.isfinite(found.loss).any():
        return None
    about = "the loss" if outcome.recorder.path()[1].shape[1] == 2 else "the loss around the path of the weights"
    picture, [panel] = style.figure(
        title(outcome, f"{about}, by {outcome.names['optim']}"), width=4.8, height=4.0, left=0.75, right=1.1, above=0.65
    )
    height, levels, ticks = _levels(found)
    x, y, height = _finer(found.x, found.y, height)
    filled = panel.contourf(x, y, height, levels=levels, extend="both")
    panel.contour(x, y, height, levels=levels, colors="white", linewidths=0.4, alpha=0.5)
    across, up = picture.get_size_inches()
    scale = picture.colorbar(filled, cax=picture.add_axes((5.75 / across, 0.5 / up, 0.12 / across, 4.0 / up)))
    scale.set_ticks(list(ticks), labels=list(ticks.values()))
    scale.outline.set_visible(False)
    panel.plot(*found.path.T, color="white", linewidth=2.6, alpha=0.8)
    dots = "o" if len(found.path) <= 40 else ""
    panel.plot(*found.path.T, color=style.VERMILION, linewidth=1.4, marker=dots, markersize=3, label="path")
    for place, marker, size, label in [(0, "o", 8, "start"), (-1, "s", 7, "end")]:
        panel.plot(*found.path[place], marker, color=style.VERMILION, mec="white", markersize=size, label=label)
    panel.plot(*found.chosen, "*", color=style.ORANGE, mec="white", markersize=13, label="best epoch")
    panel.set(xlabel=found.labels[0], ylabel=found.labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    scaled = ", of standardised data" if outcome.spec.feature_mean is not None else ""
    panel.set_title(f"mean loss of {found.num_examples:,} training examples{scaled}", loc="left")
    panel.grid(False)
    panel.legend()
    return picture


def _levels(found: Surface) -> tuple[np.ndarray, np.ndarray, dict[float, str]]:
    """What is drawn of the loss, its levels and what is written at some: its logarithm where it falls far.

    What is far below the end of the path is not told apart: a loss may fall for ever beyond where training stopped.
    """
    finite = found.loss[np.isfinite(found.loss)]
    at_end = found.loss[np.abs(found.y - found.path[-1, 1]).argmin(), np.abs(found.x - found.path[-1, 0]).argmin()]
    low, high = max(finite.min(), at_end / 10), finite.max()
    is_wide = low > 0 and high > 10 * low
    loss = np.nan_to_num(found.loss, nan=high, posinf=high)
    if is_wide:
        loss, low, high = np.log10(loss.clip(low / 10)), np.log10(low), np.log10(high)
    levels = np.linspace(low, high if high > low else low + 1, 19)
    return loss, levels, {level: f"{10**level if is_wide else level:.3g}" for level in levels[::3].tolist()}


def _finer(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The surface on a grid of about 120 points a side that holds all the points given, by bicubic interpolation."""
    times = max(1, 120 // (len(x) - 1))
    size = (len(y) - 1) * times + 1, (len(x) - 1) * times + 1
    grid = torch.from_numpy(height)[None, None]
    fine = torch.nn.functional.interpolate(grid, size, mode="bicubic", align_corners=True)[0, 0]
    return np.linspace(x[0], x[-1], size[1]), np.linspace(y[0], y[-1], size[0]), fine.numpy()


SCALARS = 6  # parameters that are shown each by itself; of more, each tensor


def distances(outcome: Outcome) -> Figure | None:
    """How far each parameter is from its final value, against the updates."""
    steps, path = outcome.recorder.path()  # (S, P)
    if len(steps) < 3:
        return None
    way = path - path[-1]
    if path.shape[1] <= SCALARS:
        lines = dict(zip(_scalars(outcome), way.abs().unbind(1), strict=True))
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
