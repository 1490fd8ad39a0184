"""A small convolutional network, as in LeNet-5 (LeCun et al. 1998) with today's parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class SimpleCNN(nn.Sequential):
    """`(B, C, H, W)` -> `(B, out_features)`: 3 x 3 convolutions, each with ReLU and 2 x 2 pooling, then two layers.

    Raises:
        ValueError: the image is too small for so many poolings.
    """

    reads = ("image",)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: Sequence[int] = (32, 64),
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        depth, height, width = in_shape
        least = 2 ** len(channels)
        if min(height, width) < least:
            raise ValueError(
                f"{len(channels)} poolings need an image of at least {least} x {least} pixels, and this one has "
                f"{height} x {width}; fewer channels or model=mlp fit"
            )
        layers: list[nn.Module] = []
        for num_in, num_out in pairwise([depth, *channels]):
            layers += [nn.Conv2d(num_in, num_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            height, width, depth = height // 2, width // 2, num_out
        super().__init__(
            *layers,
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(depth * height * width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out_features),
        )
