"""Many small images in one picture: the filters of the first layer, and the test images that are most wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from trainer.view import style
from trainer.view.outcome import Outcome, probabilities

FILTERS = 64  # at most
ROWS, COLUMNS = 3, 8  # of mistakes, at most


def filters(outcome: Outcome) -> style.Figure | None:
    """Draw the weights of the first layer as images, at most the 64 of the largest norm."""
    weights = first_filters(outcome.model, outcome.spec.in_shape) if outcome.spec.kind == "image" else None
    if weights is None:
        return None
    number, channels, height, width = weights.shape
    shown = weights.flatten(1).norm(dim=1).argsort(descending=True)[:FILTERS].sort().values
    images = coloured_weights(weights[shown])
    legend = (
        "weights of red, green and blue; grey: 0" if channels == 3 else "purple: positive weights, orange: negative"
    )
    legend += "; each scaled by its largest"
    columns = min(len(shown), 5 if number <= 10 else 8 if number <= 32 else 16)
    if number == outcome.spec.out_features:
        names = [style.short(outcome.class_names[index]) for index in shown.tolist()]
        head = outcome.title("weights for each class")
        return sheet(head, legend, images, columns, width=0.7, captions=names, text=0.2)
    text = f"{number} filters of {height} x {width} in the first layer"
    text += f", the strongest {FILTERS}" if number > FILTERS else ""
    return sheet(outcome.title(text), legend, images, columns, width=0.45)


def first_filters(model: nn.Module, in_shape: tuple[int, ...]) -> Tensor | None:
    """Return weights `(N, C, h, w)` of the first layer, if it convolves an image or weighs all its pixels."""
    layer = next((m for m in model.modules() if list(m.parameters(recurse=False))), None)
    if isinstance(layer, nn.Conv2d) and layer.weight.shape[2:].numel() > 1:
        return layer.weight.detach().float().cpu()
    if isinstance(layer, nn.Linear) and layer.in_features == math.prod(in_shape):
        return layer.weight.detach().float().cpu().view(-1, *in_shape)
    return None


def coloured_weights(weights: Tensor) -> np.ndarray:
    """Turn weights `(N, C, h, w)` into colours `(N, h, w, 3)`: three channels are RGB, others are averaged."""
    import matplotlib

    weights = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    scaled = 0.5 + 0.5 * weights / weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    if weights.shape[1] == 3:
        return scaled.permute(0, 2, 3, 1).numpy()
    return matplotlib.colormaps["PuOr_r"](scaled[:, 0].numpy())[..., :3]


def mistakes(outcome: Outcome) -> style.Figure | None:
    """Draw the worst as images, with the true and the predicted class and their probabilities."""
    if not outcome.has_classes or outcome.spec.kind != "image":
        return None
    index, number = worst(outcome, ROWS * COLUMNS)
    text = f"{number:,} of {len(outcome.targets):,} test images wrong, the worst {len(index)}"
    head = outcome.title(text if number else "no test image wrong, the least certain")
    legend = "below each image: the true class, the predicted class, and their probabilities"
    names, captions = outcome.class_names, []
    for true, chance in zip(outcome.true_classes[index].tolist(), probabilities(outcome.outputs)[index], strict=True):
        both = (f"{style.short(names[c], 11)}: {100 * chance[c]:.1f} %" for c in (true, int(chance.argmax())))
        captions.append("\n".join(both))
    columns = min(COLUMNS, max(4, len(index)))
    images = coloured(outcome.data.test.stored(index))
    return sheet(head, legend, images, columns, width=1.15, captions=captions, text=0.42, fontsize=7)


def worst(outcome: Outcome, most: int) -> tuple[Tensor, int]:
    """Return at most `most` test examples, least probable true class first, and the number of wrong ones.

    Right ones are included only if none are wrong.
    """
    chances, true = probabilities(outcome.outputs), outcome.true_classes
    wrong = chances.argmax(1) != true
    chance = chances.gather(1, true[:, None])[:, 0]
    if wrong.any():
        chance = chance.where(wrong, 2.0)
    number = int(wrong.sum())
    return chance.argsort(stable=True)[: min(most, number or most)], number


def coloured(images: Tensor) -> np.ndarray:
    """Turn stored images `(N, C, H, W)` into colours `(N, H, W, 3)` in [0, 1]."""
    pixels = images.float().permute(0, 2, 3, 1)
    low, high = min(0.0, float(pixels.min())), float(pixels.max())
    pixels = (pixels - low) / max(1e-9, high - low)
    pixels = pixels if pixels.shape[3] == 3 else pixels.mean(3, keepdim=True).expand(-1, -1, -1, 3)
    return pixels.numpy()


def sheet(
    head: str,
    legend: str,
    images: np.ndarray,
    columns: int,
    *,
    width: float,
    captions: Sequence[str] = (),
    text: float = 0.0,
    fontsize: int = 8,
) -> style.Figure:
    """Draw images `(N, H, W, 3)` in columns `width` inches wide, with captions below of height `text * width`."""
    tiled, places = mosaic(images, columns, text)
    across = max(4.6, width * columns)
    up = across * tiled.shape[0] / tiled.shape[1]
    picture, [panel] = style.figure(head, width=across, height=up, left=0.2, below=0.1, above=0.65)
    panel.imshow(tiled)
    panel.set_axis_off()
    panel.set_title(legend, loc="left", fontsize=8)
    for (x, y), caption in zip(places, captions, strict=False):
        panel.text(x, y, caption, fontsize=fontsize, ha="center", va="top", linespacing=1.15)
    return picture


def mosaic(images: np.ndarray, columns: int, text: float = 0.0) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Tile images `(N, H, W, 3)` of values in [0, 1] on white; also return where to write below each, in pixels.

    `text` is the height of that text, as a fraction of an image's width. matplotlib would take as long for an axis as
    for the whole picture.
    """
    number, height, width, _ = images.shape
    gap = max(1, round(0.1 * width))
    step_y, step_x = height + gap + round(text * width), width + gap
    rows = -(-number // columns)
    cells = np.ones((rows * columns, step_y, step_x, 3), np.float32)
    cells[:number, :height, :width] = images
    tiled = cells.reshape(rows, columns, step_y, step_x, 3).swapaxes(1, 2).reshape(rows * step_y, columns * step_x, 3)
    corners = [(index // columns * step_y, index % columns * step_x) for index in range(number)]
    return tiled[:, :-gap], [(left + width / 2 - 0.5, top + height) for top, left in corners]
