"""What speaks for and against a prediction: pixels of images and tokens of texts."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

import numpy as np
from torch import Tensor

from trainer.view import style
from trainer.view.plots.images import coloured, coloured_weights, sheet

COLUMNS = 4  # images
LINE = 84  # characters of a text
CHARACTER, ROW = 0.085, 0.22  # inches
FOR_AND_AGAINST = "orange speaks for the prediction, purple against it; each scaled by its largest"


def images_picture(title: str, images: Tensor, attributions: Tensor, captions: Sequence[str]) -> style.Figure:
    """Draw stored images `(N, C, H, W)`, each beside the sums over channels of its attributions, of the same shape."""
    beside = coloured_weights(attributions.float().sum(1, keepdim=True))
    gap = np.ones((*beside.shape[:2], max(1, beside.shape[2] // 20), 3))
    pairs = np.concatenate([coloured(images), gap, beside], 2)
    legend = f"each image, and its pixels: {FOR_AND_AGAINST}"
    text = 0.08 * (2 + max(caption.count("\n") for caption in captions))
    return sheet(title, legend, pairs, min(COLUMNS, max(2, len(pairs))), width=2.0, captions=captions, text=text)


def texts_picture(
    title: str, texts: Sequence[Sequence[str]], attributions: Sequence[Sequence[float]], captions: Sequence[str]
) -> style.Figure:
    """Draw the tokens of texts, each on the colour of its attribution, below a caption."""
    import matplotlib

    colours = matplotlib.colormaps["PuOr_r"]
    placed = [_lines(tokens) for tokens in texts]
    rows = sum(lines[-1][1] + 2.6 if lines else 2 for lines in placed)
    width = LINE * CHARACTER
    picture, [panel] = style.figure(title, width=width, height=rows * ROW, left=0.2, below=0.1, above=0.65)
    panel.set(xlim=(0, width), ylim=(rows, 0))
    panel.set_axis_off()
    panel.set_title(FOR_AND_AGAINST, loc="left", fontsize=8)
    top = 0.6
    for tokens, values, caption, lines in zip(texts, attributions, captions, placed, strict=True):
        panel.text(0, top, caption, fontsize=8, va="center", color=style.DARK)
        scale = max(map(abs, values), default=0) or 1
        for token, value, (start, line) in zip(tokens, values, lines, strict=True):
            colour, size = colours(0.5 + 0.5 * value / scale), _width(token)
            at = top + 1 + line
            box = matplotlib.patches.Rectangle(
                (start * CHARACTER, at - 0.45), size * CHARACTER, 0.9, color=colour, lw=0
            )
            panel.add_patch(box)
            ink = "white" if abs(value) > 0.7 * scale else style.DARK
            middle = (start + size / 2) * CHARACTER
            panel.text(middle, at, token, fontsize=9, va="center", ha="center", color=ink, family=style.MONOSPACED)
        top += (lines[-1][1] if lines else 0) + 2.6
    return picture


def _lines(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return where each token starts, in characters, and its line; lines have at most `LINE` characters."""
    places, column, line = [], 0, 0
    gap = int(any(len(token) > 1 for token in tokens))  # between words
    for token in tokens:
        if column and column + _width(token) > LINE:
            column, line = 0, line + 1
        places.append((column, line))
        column += _width(token) + gap
    return places


def _width(token: str) -> int:
    return sum(1 + (east_asian_width(character) in "WF") for character in token)
