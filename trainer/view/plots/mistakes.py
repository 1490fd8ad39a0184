"""The test images that the model is most wrong about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._mosaic import mosaic
from trainer.view.plots._reading import class_names, has_classes, probabilities, title, true_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, COLUMNS = 3, 8


def worst(outcome: Outcome, most: int) -> tuple[Tensor, int]:
    """Return at most `most` test examples, least probable true class first, and the number of wrong ones.

    Right ones are included only if none are wrong.
    """
    chances, true = probabilities(outcome.outputs), true_classes(outcome)
    wrong = chances.argmax(1) != true
    chance = chances.gather(1, true[:, None])[:, 0]
    if wrong.any():
        chance = chance.where(wrong, 2.0)
    number = int(wrong.sum())
    return chance.argsort(stable=True)[: min(most, number or most)], number


def mistakes(outcome: Outcome) -> Figure | None:
    """Draw the worst as images, with the true and the predicted class and their probabilities."""
    if not has_classes(outcome) or outcome.spec.kind != "image":
        return None
    index, number = worst(outcome, ROWS * COLUMNS)
    text = f"{number:,} of {len(outcome.targets):,} test images wrong, the worst {len(index)}"
    head = title(outcome, text if number else "no test image wrong, the least certain")
    columns = min(COLUMNS, max(4, len(index)))
    tiled, places = mosaic(coloured(outcome.data.test.stored(index)), columns, text=0.42)
    width = 1.15 * columns
    height = width * tiled.shape[0] / tiled.shape[1]
    picture, [panel] = style.figure(head, width=max(width, 4.6), height=height, left=0.2, below=0.1, above=0.65)
    panel.imshow(tiled)
    style.bare(panel)
    legend = "below each image: the true class, the predicted class, and their probabilities"
    panel.set_title(legend, loc="left", fontsize=8)
    names, true, chances = class_names(outcome), true_classes(outcome)[index], probabilities(outcome.outputs)[index]
    for (x, y), chance, label in zip(places, chances, true.tolist(), strict=True):
        lines = [f"{style.short(names[c], 11)}: {100 * chance[c]:.1f} %" for c in (label, int(chance.argmax()))]
        panel.text(x, y, "\n".join(lines), fontsize=7, ha="center", va="top", linespacing=1.15)
    return picture


def coloured(images: Tensor) -> np.ndarray:
    """Turn stored images `(N, C, H, W)` into colours `(N, H, W, 3)` in [0, 1]."""
    pixels = images.float().permute(0, 2, 3, 1)
    low, high = min(0.0, float(pixels.min())), float(pixels.max())
    pixels = (pixels - low) / max(1e-9, high - low)
    pixels = pixels if pixels.shape[3] == 3 else pixels.mean(3, keepdim=True).expand(-1, -1, -1, 3)
    return pixels.numpy()
