"""A coarse grid of numbers made smooth to look at."""

from __future__ import annotations

import numpy as np


def finer(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The surface on a grid of about 120 points a side, through all the points given, by cubic interpolation."""
    times = max(1, 120 // (len(x) - 1))
    across, up = _between(len(x), times), _between(len(y), times)
    return np.linspace(x[0], x[-1], len(across)), np.linspace(y[0], y[-1], len(up)), up @ height @ across.T


def _between(number: int, times: int) -> np.ndarray:
    """Weights `((number - 1) * times + 1, number)` of points for those between them, exact of a parabola.

    Catmull and Rom, A class of local interpolating splines, 1974.
    """
    place = np.arange((number - 1) * times + 1) / times
    first = np.minimum(place.astype(int), number - 2)
    f = place - first
    cubic = [(-f + 2 * f**2 - f**3) / 2, 1 - 2.5 * f**2 + 1.5 * f**3, (f + 4 * f**2 - 3 * f**3) / 2, (f**3 - f**2) / 2]
    padded = np.zeros((len(place), number + 2))
    for offset, weight in enumerate(cubic):
        padded[np.arange(len(place)), first + offset] = weight
    found = padded[:, 1:-1]
    for column, outside in ((slice(0, 3), padded[:, 0]), (slice(-1, -4, -1), padded[:, -1])):
        found[:, column] += outside[:, None] * np.array([3, -3, 1])  # a point beyond the edge, as the parabola has it
    return found
