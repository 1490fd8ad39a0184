"""What the first layer of a model looks for in an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._mosaic import mosaic
from trainer.view.plots._reading import class_names, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 64


def first_filters(model: nn.Module, in_shape: tuple[int, ...]) -> Tensor | None:
    """Return weights `(N, C, h, w)` of the first layer, if it convolves an image or weighs all its pixels."""
    layer = next((m for m in model.modules() if list(m.parameters(recurse=False))), None)
    if isinstance(layer, nn.Conv2d) and layer.weight.shape[2:].numel() > 1:
        return layer.weight.detach().float().cpu()
    if isinstance(layer, nn.Linear) and layer.in_features == math.prod(in_shape):
        return layer.weight.detach().float().cpu().view(-1, *in_shape)
    return None


def filters(outcome: Outcome) -> Figure | None:
    """Draw the weights of the first layer as images, at most the 64 of the largest norm."""
    weights = first_filters(outcome.model, outcome.spec.in_shape) if outcome.spec.kind == "image" else None
    if weights is None:
        return None
    number, _, height, width = weights.shape
    per_class = number == outcome.spec.out_features
    shown = weights.flatten(1).norm(dim=1).argsort(descending=True)[:MOST].sort().values
    text = "weights for each class" if per_class else f"{number} filters of {height} x {width} in the first layer"
    text += f", the strongest {MOST}" if number > MOST else ""
    columns = min(len(shown), 5 if number <= 10 else 8 if number <= 32 else 16)
    tiled, places = mosaic(coloured(weights[shown]), columns, text=0.2 if per_class else 0)
    across = max(4.6, (0.7 if per_class else 0.45) * columns)
    up = across * tiled.shape[0] / tiled.shape[1]
    picture, [panel] = style.figure(title(outcome, text), width=across, height=up, left=0.2, below=0.1, above=0.65)
    panel.imshow(tiled)
    style.bare(panel)
    is_colour = weights.shape[1] == 3
    legend = "weights of red, green and blue; grey: 0" if is_colour else "purple: positive weights, orange: negative"
    panel.set_title(f"{legend}; each scaled by its largest", loc="left", fontsize=8)
    for (x, y), index in zip(places, shown.tolist(), strict=True) if per_class else ():
        panel.text(x, y, style.short(class_names(outcome)[index]), fontsize=8, ha="center", va="top")
    return picture


def coloured(weights: Tensor) -> np.ndarray:
    """Turn weights `(N, C, h, w)` into colours `(N, h, w, 3)`: three channels are RGB, others are averaged."""
    import matplotlib

    weights = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    scaled = 0.5 + 0.5 * weights / weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    if weights.shape[1] == 3:
        return scaled.permute(0, 2, 3, 1).numpy()
    return matplotlib.colormaps["PuOr_r"](scaled[:, 0].numpy())[..., :3]
