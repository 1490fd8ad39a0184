"""Fit an encoder to the training images: mean and deviation per channel and, for drawings, how they are framed.

`B` is the batch size, `N` the number of images, `C` the number of channels: 1 (grey) or 3 (colour).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data._image.drawing import Drawing, fit_drawing

LEAST_STD = 1e-6
ALL_16 = (0, 16)
LOOKED_AT, NUMBERS = 500, 2_000_000  # grey images, and their pixels, that show how they are drawn


@dataclass(frozen=True)
class ImageEncoder:
    """All that is needed to read other images like the training images; plain enough for JSON."""

    size: tuple[int, int]  # height and width in pixels
    mean: tuple[float, ...]  # (C,) of the stored pixels, 0 to `largest`
    std: tuple[float, ...]  # (C,)
    largest: int = 255
    drawing: Drawing | None = None  # for drawings on one shade of grey
    depth: tuple[int, int] = ALL_16  # lowest level of images of 16 or 32 bits, and how many bits they use

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Return the shape of an image."""
        return (len(self.mean), *self.size)

    @property
    def is_grey(self) -> bool:
        """Return whether there is one channel."""
        return len(self.mean) == 1

    def prepare(self, batch: Tensor) -> Tensor:
        """Convert `(B, C, H, W)` bytes to floats, standardised in each channel by the training images."""
        scale, shift = _affine(self.mean, self.std, batch.device)
        return batch.to(torch.float32, copy=True).mul_(scale).add_(shift)

    def fitted(self, images: Tensor, largest: int) -> tuple[Tensor, list[str]]:
        """Convert images `(N, C, H, W)` uint8, up to `largest`, to the channels, size and range of the training images.

        Also return what was done.
        """
        done = []
        if images.shape[1] != len(self.mean):
            weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # Rec. 601, as in PIL
            grey = (images * weights).sum(1, keepdim=True).round().to(torch.uint8)
            images = grey if self.is_grey else images.expand(-1, 3, -1, -1)
            done.append("made grey" if self.is_grey else "grey in three channels")
        size = tuple(images.shape[2:])
        if size != self.size:
            done.append(f"resized from {size} to {self.size}")
        if size != self.size or largest != self.largest:
            scaled = (F.interpolate(p.float(), self.size, mode="bilinear", antialias=True) for p in images.split(1000))
            images = torch.cat([(part * (self.largest / largest)).round().to(torch.uint8) for part in scaled])
        return images, done


@cache
def _affine(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    means, stds = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    return (1 / stds).float()[:, None, None].to(device), (-means / stds).float()[:, None, None].to(device)  # (C, 1, 1)


def fit_images(
    images: Iterable[Tensor], largest: int = 255, are_files: bool = False, depth: tuple[int, int] = ALL_16
) -> ImageEncoder:
    """Fit an encoder to all `images`, parts `(N, C, H, W)` of bytes up to `largest`; those in memory are one part.

    For files, it does not look for drawings: other files are read in just the same way, those of 16 bits by `depth`.
    """
    counts = torch.zeros(1, dtype=torch.int64)
    for part in images:
        counts = counts + torch.stack([torch.bincount(c.flatten(), minlength=256) for c in part.unbind(1)])  # (C, 256)
    values = torch.arange(256, dtype=torch.float64)
    mean = counts.double() @ values / counts.sum(1)
    std = (counts.double() @ values.square() / counts.sum(1) - mean.square()).sqrt().clamp_min(LEAST_STD)
    drawing = None
    if len(mean) == 1 and not are_files:
        wanted = min(LOOKED_AT, 1 + NUMBERS // part[0, 0].numel())
        sample = part[:: max(1, len(part) // wanted), 0][:wanted]  # (N, H, W)
        drawing = fit_drawing(sample.float().numpy() / largest)
    return ImageEncoder((part.shape[2], part.shape[3]), (*mean.tolist(),), (*std.tolist(),), largest, drawing, depth)
