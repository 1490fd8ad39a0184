"""Adapters that let a model read data it was not made for."""

from torch import Tensor, nn


class GreyToColour(nn.Module):
    """`(B, 1, H, W)` -> `(B, 3, H, W)`: the grey value in every channel, for models made for colour images."""

    def forward(self, images: Tensor) -> Tensor:
        """Repeat the channel."""
        return images.expand(-1, 3, -1, -1)
