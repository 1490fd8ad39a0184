"""Residual network for small images, after He et al., Deep Residual Learning, 2016."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


def conv_norm(num_in: int, num_out: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution and batch norm; the norm would cancel a bias, so there is none."""
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(num_out)
    )


class ResidualBlock(nn.Module):
    """`(B, num_in, H, W)` -> `(B, num_out, H / stride, W / stride)`: relu(F(x) + shortcut(x))."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(conv_norm(num_in, num_out, stride=stride), nn.ReLU(), conv_norm(num_out, num_out))
        same = num_in == num_out and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(num_in, num_out, size=1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the residual."""
        return self.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """`(B, C, H, W)` -> `(B, out_features)`: a stage of `blocks` residual blocks for each width.

    The stem and every stage but the first halve height and width; their mean over the image feeds the last layer.

    Args:
        widths: Channels of each stage.
        blocks: Residual blocks of each stage, two convolutions each.
    """

    reads = ("image",)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
    ) -> None:
        layers: list[nn.Module] = [conv_norm(in_shape[0], widths[0]), nn.ReLU(), nn.MaxPool2d(2)]
        for number, (num_in, num_out) in enumerate(pairwise([widths[0], *widths])):
            layers.append(ResidualBlock(num_in, num_out, stride=2 if number else 1))
            layers += [ResidualBlock(num_out, num_out) for _ in range(blocks - 1)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], out_features))
