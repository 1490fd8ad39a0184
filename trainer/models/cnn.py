"""A small convolutional network: LeNet-5 (LeCun et al. 1998) with modern layers."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class SimpleCNN(nn.Sequential):
    """`(B, C, H, W)` -> `(B, out_features)`: convolutions, each with pooling and ReLU, then two linear layers.

    `kernel`, `stride` and `pool` are one number for all convolutions or a list with one for each. Pooling precedes
    ReLU: the result is the same, and a smaller image is cheaper.

    Args:
        channels: Output channels of each convolution.
        kernel: Side of each kernel in pixels.
        stride: Step of each kernel in pixels.
        pool: Side of each pooling window in pixels; 1 means no pooling.
        padding: Whether a convolution of stride 1 keeps the size of an image.
        batch_norm: Whether batch norm precedes each ReLU; the layer before it then has no bias.
        hidden: Units of the first linear layer.
        dropout: Probability of setting an input of a linear layer to zero in training.

    Raises:
        ValueError: the lists differ in length, or the image is too small.
    """

    reads = ("image",)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: Sequence[int] = (32, 64),
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        pool: int | Sequence[int] = 2,
        padding: bool = True,
        batch_norm: bool = False,
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        depth, height, width = in_shape
        each = [[v] * len(channels) if isinstance(v, int) else list(v) for v in (kernel, stride, pool)]
        if any(len(values) != len(channels) for values in each):
            raise ValueError(f"kernel, stride, pool: expected a number, or one for each of channels={list(channels)}")
        layers: list[nn.Module] = []
        for (num_in, num_out), size, step, window in zip(pairwise([depth, *channels]), *each, strict=True):
            pad = size // 2 if padding else 0
            height, width = (((side + 2 * pad - size) // step + 1) // window for side in (height, width))
            if min(height, width) < 1:
                raise ValueError(
                    f"an image of {in_shape[1]} x {in_shape[2]} pixels is too small for that much pooling; "
                    "shorten model.channels, or use model=mlp"
                )
            layers.append(nn.Conv2d(num_in, num_out, size, step, pad, bias=not batch_norm))
            layers += [nn.MaxPool2d(window)] if window > 1 else []
            layers += [nn.BatchNorm2d(num_out)] if batch_norm else []
            layers.append(nn.ReLU())
        super().__init__(
            *layers,
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * height * width, hidden, bias=not batch_norm),
            *([nn.BatchNorm1d(hidden)] if batch_norm else []),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out_features),
        )
