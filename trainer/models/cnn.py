"""A small convolutional network, as in LeNet-5 (LeCun et al. 1998) with today's parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class SimpleCNN(nn.Sequential):
    """`(B, C, H, W)` -> `(B, out_features)`: 3 x 3 convolutions, each with ReLU and 2 x 2 pooling, then two layers.

    Raises:
        ValueError: the data is no image, or too small for so many poolings.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: Sequence[int] = (32, 64),
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        if len(in_shape) != 3 or min(in_shape[1:]) < 2 ** len(channels):
            raise ValueError(
                f"a CNN with {len(channels)} poolings reads images (C, H, W) of at least "
                f"{2 ** len(channels)} x {2 ** len(channels)} and this data has shape {in_shape}; model=mlp fits"
            )
        depth, height, width = in_shape
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
