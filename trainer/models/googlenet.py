"""Inception network for small images, after Szegedy et al., Going Deeper with Convolutions, 2015."""

import torch
from torch import Tensor, nn


def conv(num_in: int, num_out: int, size: int) -> nn.Sequential:
    """Return a convolution that keeps height and width, with batch norm (Ioffe and Szegedy 2015) and ReLU."""
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, size, padding=size // 2, bias=False), nn.BatchNorm2d(num_out), nn.ReLU()
    )


class Inception(nn.Module):
    """`(B, num_in, H, W)` -> `(B, 88, H, W)`: four branches, of kernels 1, 3 (twice) and 5, and of an average pool."""

    num_out = 16 + 24 + 24 + 24

    def __init__(self, num_in: int) -> None:
        super().__init__()
        self.look_1 = conv(num_in, 16, 1)
        self.look_3 = nn.Sequential(conv(num_in, 16, 1), conv(16, 24, 3), conv(24, 24, 3))
        self.look_5 = nn.Sequential(conv(num_in, 16, 1), conv(16, 24, 5))
        self.pool = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv(num_in, 24, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches' channels."""
        return torch.cat([self.look_1(x), self.look_3(x), self.look_5(x), self.pool(x)], 1)


class GoogLeNet(nn.Sequential):
    """`(B, C, H, W)` -> `(B, out_features)`: convolution, pooling and an inception block, twice; then a linear layer.

    The blocks are those of Liu's PyTorch course (2019) with batch norm added.

    Args:
        widths: Channels of the two convolutions.
    """

    reads = ("image",)

    def __init__(self, in_shape: tuple[int, ...], out_features: int, widths: tuple[int, int] = (16, 32)) -> None:
        depth, height, width = in_shape
        super().__init__(
            conv(depth, widths[0], 5),
            nn.MaxPool2d(2),
            Inception(widths[0]),
            conv(Inception.num_out, widths[1], 3),
            nn.MaxPool2d(2),
            Inception(widths[1]),
            nn.Flatten(),
            nn.Linear(Inception.num_out * (height // 4) * (width // 4), out_features),
        )
