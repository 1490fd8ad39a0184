"""Smooth a coarse grid of heights for drawing."""

from __future__ import annotations

import numpy as np


def finer(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolate a surface to about 120 points a side; it still passes through all the given points."""
    times = max(1, 120 // (len(x) - 1))
    across, up = _cubic_weights(len(x), times), _cubic_weights(len(y), times)
    return np.linspace(x[0], x[-1], len(across)), np.linspace(y[0], y[-1], len(up)), up @ height @ across.T


def _cubic_weights(number: int, times: int) -> np.ndarray:
    """Return the weight of each of `number` points in each interpolated one, `((number - 1) * times + 1, number)`.

    Exact for a parabola (Catmull and Rom, A class of local interpolating splines, 1974).
    """
    place = np.arange((number - 1) * times + 1) / times
    first = np.minimum(place.astype(int), number - 2)
    f = place - first
    cubic = [(-f + 2 * f**2 - f**3) / 2, 1 - 2.5 * f**2 + 1.5 * f**3, (f + 4 * f**2 - 3 * f**3) / 2, (f**3 - f**2) / 2]
    padded = np.zeros((len(place), number + 2))
    for offset, weight in enumerate(cubic):
        padded[np.arange(len(place)), first + offset] = weight
    weights = padded[:, 1:-1]
    for column, outside in ((slice(0, 3), padded[:, 0]), (slice(-1, -4, -1), padded[:, -1])):
        weights[:, column] += outside[:, None] * np.array([3, -3, 1])  # extrapolate one point beyond each edge
    return weights
