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
    """Weights `(N, C, h, w)` of the first layer, if it convolves an image or weighs all its pixels."""
    layer = next((m for m in model.modules() if list(m.parameters(recurse=False))), None)
    if isinstance(layer, nn.Conv2d) and layer.weight.shape[2:].numel() > 1:
        return layer.weight.detach().float().cpu()
    if isinstance(layer, nn.Linear) and layer.in_features == math.prod(in_shape):
        return layer.weight.detach().float().cpu().view(-1, *in_shape)
    return None


def filters(outcome: Outcome) -> Figure | None:
    """The weights of the first layer as images; of many, those of the largest norm."""
    weights = first_filters(outcome.model, outcome.spec.in_shape) if outcome.spec.kind == "image" else None
    if weights is None:
        return None
    number, channels, height, width = weights.shape
    of_classes = number == outcome.spec.out_features
    shown = weights.flatten(1).norm(dim=1).argsort(descending=True)[:MOST].sort().values
    text = "what speaks for each class" if of_classes else f"{number} filters of {height} x {width} in the first layer"
    text += f", the {MOST} strongest" if number > MOST else ""
    columns = min(len(shown), 5 if number <= 10 else 8 if number <= 32 else 16)
    tiled, places = mosaic(coloured(weights[shown]), columns, text=0.2 if of_classes else 0)
    inches = max(4.6, (0.7 if of_classes else 0.45) * columns)
    picture, [panel] = style.figure(
        title(outcome, text),
        width=inches,
        height=inches * tiled.shape[0] / tiled.shape[1],
        left=0.2,
        below=0.1,
        above=0.65,
    )
    panel.imshow(tiled)
    style.bare(panel)
    colours = (
        "purple: positive weights, orange: negative" if channels != 3 else "weights of red, green and blue; grey: 0"
    )
    panel.set_title(f"{colours}; each scaled by its largest", loc="left", fontsize=8)
    for (x, y), index in zip(places, shown.tolist(), strict=True) if of_classes else ():
        panel.text(x, y, style.short(class_names(outcome)[index]), fontsize=8, ha="center", va="top")
    return picture


def coloured(weights: Tensor) -> np.ndarray:
    """Weights `(N, C, h, w)` as colours `(N, h, w, 3)`, those of three channels as they are, of others their mean."""
    import matplotlib

    weights = weights if weights.shape[1] == 3 else weights.mean(1, keepdim=True)
    scaled = 0.5 + 0.5 * weights / weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    if weights.shape[1] == 3:
        return scaled.permute(0, 2, 3, 1).numpy()
    return matplotlib.colormaps["PuOr_r"](scaled[:, 0].numpy())[..., :3]
