"""The loss surface, with the path of the weights over it."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from trainer.engine.loop import full
from trainer.view import style
from trainer.view.outcome import Outcome, cpu_seconds, evenly_spaced
from trainer.view.plots.weights import scalars

SECONDS = 0.5  # budget for the whole surface
SIDE, LEAST_SIDE = 31, 11  # grid points in each direction: at most, and before fewer examples are read
MARGIN = 0.4  # around the path, as a fraction of its extent
EXACT, SAMPLE = 10_000, 512  # training examples: at most for a model with two parameters, and for a larger one
BATCHED = 1000  # parameters up to which all losses are computed at once
BATCHED_NUMBERS = 20_000_000  # of those: parameters times examples times grid points
FINE = 121  # grid points in each direction, at most, of those: the valley of a line is narrow
STEPS = 100  # of the path, to find its main directions


class Plane(NamedTuple):
    """Weights `origin + x * axes[0] + y * axes[1]`; the axes are orthonormal."""

    origin: Tensor  # (P,)
    axes: Tensor  # (2, P)

    def places(self, weights: Tensor) -> np.ndarray:
        """Project weights `(S, P)` onto the plane: coordinates `(S, 2)`."""
        return ((weights - self.origin) @ self.axes.T).double().numpy()


class Surface(NamedTuple):
    """The loss on a grid around the path, in coordinates of the plane."""

    x: np.ndarray  # (X,)
    y: np.ndarray  # (Y,)
    loss: np.ndarray  # (Y, X), mean over num_examples
    path: np.ndarray  # (S, 2), ends at the final weights
    chosen: np.ndarray  # (2,), the weights of the best epoch
    labels: tuple[str, str]
    num_examples: int


def main_plane(path: Tensor) -> tuple[Plane, list[float]]:
    """Return the plane through the end of a path `(S, P)` in which it moves most, and each axis' share of the movement.

    Principal components of the weights minus the final ones (Li et al., Visualizing the loss landscape of neural nets,
    2018), from the inner products of a few steps. If the path is a line, the second axis is random.
    """
    moved = (path[evenly_spaced(len(path), STEPS)] - path[-1]).double()
    variances, mixtures = torch.linalg.eigh(moved @ moved.T)
    shares = variances.flip(0)[:2].clamp_min(0) / variances.sum().clamp_min(1e-300)
    axes = mixtures.flip(1)[:, :2].T @ moved  # (2, P)
    if shares[1] < 1e-9:
        axes[1] = torch.randn(axes.shape[1], generator=torch.Generator().manual_seed(0), dtype=axes.dtype)
        axes[1] -= axes[1] @ axes[0] / axes[0].square().sum() * axes[0]
    axes = torch.nn.functional.normalize(axes, dim=1)
    axes = axes * torch.where(axes @ moved[0] > 0, -1.0, 1.0)[:, None]  # training moves right and up
    return Plane(path[-1], axes.to(path.dtype)), shares.tolist()


def landscape(outcome: Outcome) -> Surface | None:
    """Compute the loss around the path of the weights; None if they have not moved or the model is too slow."""
    path = outcome.recorder.path()[1]  # (S, P)
    if len(path) < 2 or path.shape[1] < 2 or not path.isfinite().all() or torch.equal(path[0], path[-1]):
        return None
    model = outcome.eager()
    learned = dict(model.named_parameters())
    plane, labels = _plane(outcome, path)
    places = plane.places(path)
    chosen = torch.nn.utils.parameters_to_vector(model.parameters()).detach().cpu()
    around = np.concatenate([places, plane.places(chosen[None])])
    low, high = around.min(0), around.max(0)
    margin = MARGIN * np.maximum(high - low, 0.3 * (high - low).max())

    exact, is_small = path.shape[1] == 2, path.shape[1] <= BATCHED
    each = SECONDS / (4 if is_small else LEAST_SIDE**2)
    inputs, targets = outcome.training_batch(model, most=EXACT if exact else SAMPLE, seconds=each)

    def loss(place: Tensor) -> Tensor:
        parts = (plane.origin + place @ plane.axes).split([w.numel() for w in learned.values()])
        weights = {n: part.view_as(w).to(w) for (n, w), part in zip(learned.items(), parts, strict=True)}
        return outcome.loss(full(functional_call(model, weights, (inputs,))), targets)

    def on_grid(side: int, chunk: int = 0) -> Surface:
        x, y = np.linspace(low - margin, high + margin, side).T
        points = torch.from_numpy(np.stack(np.meshgrid(x, y), 2)).to(path.dtype).flatten(0, 1)
        values = vmap(loss, chunk_size=chunk)(points) if chunk else torch.stack([loss(place) for place in points])
        height = values.double().cpu().numpy().reshape(side, side)
        return Surface(x, y, height, places, around[-1], labels, len(targets))

    with torch.no_grad():
        if is_small:  # single calls would take most of the time
            affordable = math.isqrt(BATCHED_NUMBERS // (path.shape[1] * len(targets)))
            with contextlib.suppress(Exception):  # what vmap cannot batch is evaluated point by point
                return on_grid(min(FINE, max(SIDE, affordable)), max(1, BATCHED_NUMBERS // (10 * len(targets))))
        seconds = cpu_seconds(lambda: loss(torch.zeros(2, dtype=path.dtype)))
        side = min(SIDE, int(math.sqrt(SECONDS / seconds)))
        return on_grid(side) if side >= 5 else None


def _plane(outcome: Outcome, path: Tensor) -> tuple[Plane, tuple[str, str]]:
    """Return the plane of a model's two parameters, or else of the main directions of the path; and its axis labels."""
    if path.shape[1] == 2:
        first, second = scalars(outcome)
        return Plane(torch.zeros_like(path[0]), torch.eye(2, dtype=path.dtype)), (first, second)
    plane, shares = main_plane(path)
    first, second = (f"direction of the path ({100 * share:.0f} % of the movement)" for share in shares)
    return plane, (f"main {first}", f"second {second}")


def surface(outcome: Outcome) -> style.Figure | None:
    """Draw the path over the loss surface of two parameters, or of the two main directions of a larger model's path."""
    found = landscape(outcome)
    if found is None or not np.isfinite(found.loss).any():
        return None
    about = "loss" if outcome.recorder.path()[1].shape[1] == 2 else "loss around the path of the weights"
    head = outcome.title(f"{about}, optim {outcome.names['optim']}")
    picture, [panel] = style.figure(head, width=4.8, height=4.0, left=0.75, right=1.1, above=0.65)
    height, levels, ticks = _levels(found)
    x, y, height = finer(found.x, found.y, height)
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
    scaled = "standardised " if outcome.spec.feature_mean is not None else ""
    panel.set_title(f"mean loss of {found.num_examples:,} {scaled}training examples", loc="left")
    panel.grid(False)
    panel.legend()
    return picture


def _levels(found: Surface) -> tuple[np.ndarray, np.ndarray, dict[float, str]]:
    """Return the loss to draw, its contour levels, and labels for some: logarithmic if it falls far.

    Losses far below the end of the path share one level: the loss may fall forever beyond where training stopped.
    """
    finite = found.loss[np.isfinite(found.loss)]
    at_end = found.loss[np.abs(found.y - found.path[-1, 1]).argmin(), np.abs(found.x - found.path[-1, 0]).argmin()]
    low, high = max(finite.min(), at_end / 10), finite.max()
    is_wide = low > 0 and high > 10 * low
    loss = np.nan_to_num(found.loss, nan=high, posinf=high)
    if is_wide:
        loss, low, high = np.log10(loss.clip(low / 10)), np.log10(low), np.log10(high)
    # Growing distances between levels give evenly spaced rings in a bowl; in its logarithm, equal distances do.
    levels = low + (high - low if high > low else 1.0) * np.linspace(0, 1, 19) ** (1 if is_wide else 2)
    return loss, levels, {level: f"{10**level if is_wide else level:.3g}" for level in levels[::3].tolist()}


def finer(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolate a surface to about 120 points a side; it still passes through all the given points."""
    times = max(1, 120 // (len(x) - 1))
    height = _cubic(_cubic(height, times).T, times).T
    return np.linspace(x[0], x[-1], height.shape[1]), np.linspace(y[0], y[-1], height.shape[0]), height


def _cubic(rows: np.ndarray, times: int) -> np.ndarray:
    """Interpolate `(N, M)` to `((N - 1) * times + 1, M)`; exact for a parabola.

    Catmull and Rom, A class of local interpolating splines, 1974.
    """
    before, after = (3 * a - 3 * b + c for a, b, c in (rows[:3], rows[:-4:-1]))  # as if a parabola went on there
    padded = np.concatenate([before[None], rows, after[None]])
    place = np.arange((len(rows) - 1) * times + 1) / times
    first = np.minimum(place.astype(int), len(rows) - 2)
    f = (place - first)[:, None]
    cubic = [(-f + 2 * f**2 - f**3) / 2, 1 - 2.5 * f**2 + 1.5 * f**3, (f + 4 * f**2 - 3 * f**3) / 2, (f**3 - f**2) / 2]
    return sum(weight * padded[first + offset] for offset, weight in enumerate(cubic))
