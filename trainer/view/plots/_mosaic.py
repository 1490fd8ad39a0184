"""Tile many small images into one: matplotlib takes as long for an axis as for a picture."""

from __future__ import annotations

import numpy as np


def mosaic(images: np.ndarray, columns: int, text: float = 0.0) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Tile images `(N, H, W, 3)` of values in [0, 1] on white; also return where to write below each, in pixels.

    `text` is the height of that text, as a fraction of an image's width.
    """
    number, height, width, _ = images.shape
    gap = max(1, round(0.1 * width))
    step_y, step_x = height + gap + round(text * width), width + gap
    rows = -(-number // columns)
    tiled = np.ones((rows * step_y, columns * step_x - gap, 3), np.float32)
    corners = [(index // columns * step_y, index % columns * step_x) for index in range(number)]
    for image, (top, left) in zip(images, corners, strict=True):
        tiled[top : top + height, left : left + width] = image
    return tiled, [(left + width / 2 - 0.5, top + height) for top, left in corners]
