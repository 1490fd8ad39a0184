"""Augmentation: random changes to whole batches, on their device.

`B` is the batch size, `C` the number of channels, `H` and `W` height and width in pixels, `K` the number of classes.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STREAM = 0x617567  # keeps these random numbers apart from those of an epoch's order


class Augment:
    """Augments standardised batches, in the order of its arguments; an argument of 0 is off.

    Each example draws its own numbers, except for mixup. The first four share one map, so that images are interpolated
    once or not at all.

    Args:
        seed: Of all random numbers, together with the epoch and the batch.
        num_classes: `K`; mixup needs it if targets are classes.
        shift: Maximum number of whole pixels in each direction.
        flip: Probability of mirroring left to right.
        crop: Maximum fraction of both sides cut away, at random places; the rest is scaled to the full size (after
            Szegedy et al. 2015, but keeping the proportions).
        rotation: Maximum angle about the centre in degrees, in both directions.
        noise: Standard deviation of Gaussian noise, in units of the standardised input.
        cutout: Side in pixels of a square set to 0, the mean of the data. Its centre is any pixel, so it may extend
            beyond the image (DeVries and Taylor 2017).
        mixup: Alpha of the Beta distribution from which the share of another example is drawn, once per batch (Zhang
            et al. 2018).

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        seed: int,
        num_classes: int = 0,
        shift: float = 0,
        flip: float = 0,
        crop: float = 0,
        rotation: float = 0,
        noise: float = 0,
        cutout: int = 0,
        mixup: float = 0,
    ) -> None:
        given = {"shift": shift, "rotation": rotation, "noise": noise, "cutout": cutout, "mixup": mixup}
        for name, value in given.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: expected a number of at least 0; 0 turns it off")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip={flip}: expected a number from 0 to 1")
        if not 0 <= crop < 1:
            raise ValueError(f"crop={crop}: expected a number in [0, 1)")
        self.seed, self.num_classes = seed, num_classes
        self.shift, self.flip, self.crop, self.rotation = int(shift), flip, crop, rotation
        self.noise, self.cutout, self.mixup = noise, cutout, mixup

    def __call__(self, inputs: Tensor, targets: Tensor, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Return augmented inputs, and targets; mixup turns classes into probabilities `(B, K)`.

        A pure function of its arguments and the seed, which uses no global random generator. It may change inputs in
        place, but not targets, and never waits for a GPU.

        Args:
            inputs: Floats `(B, C, H, W)`, or any `(B, ...)` for noise and mixup.
            targets: Classes `(B,)` int64, or floats `(B, 1)`.
            epoch: Number of the epoch.
            batch: Number of the batch within the epoch.
        """
        moves = self.shift or self.flip or self.crop or self.rotation
        if not (moves or self.noise or self.cutout or self.mixup):
            return inputs, targets
        # torch uses 32 bits of a seed, so all numbers are mixed into them.
        sequence = np.random.SeedSequence((STREAM, self.seed, epoch, batch))
        generator = torch.Generator(inputs.device).manual_seed(sequence.generate_state(1).item())
        like: dict[str, Any] = {"generator": generator, "device": inputs.device, "dtype": inputs.dtype}
        uniform = torch.rand(9, len(inputs), **like)  # always 9, so that no option changes what others draw
        if moves:
            # Moving whole pixels is exact with "nearest", and three times faster.
            mode = "bilinear" if self.crop or self.rotation else "nearest"
            inputs = _resample(inputs, self._maps(uniform[:7], *inputs.shape[2:]), mode)
        if self.noise:
            inputs.add_(torch.randn(inputs.shape, **like), alpha=self.noise)
        if self.cutout:
            inputs.masked_fill_(self._squares(uniform[7:], *inputs.shape[2:]), 0)
        if self.mixup:
            share = np.random.default_rng(sequence).beta(self.mixup, self.mixup)
            # Batches are in random order, so the previous example is a random partner.
            inputs.lerp_(inputs.roll(1, 0), share)
            if not targets.is_floating_point():
                targets = F.one_hot(targets, self.num_classes).to(inputs.dtype)
            targets = targets.lerp(targets.roll(1, 0), share)
        return inputs, targets

    def _maps(self, uniform: Tensor, height: int, width: int) -> Tensor:
        """Turn numbers `(7, B)` in [0, 1) into a map for each example, `(B, 2, 3)`."""
        symmetric = 2 * uniform - 1
        scale = 1 - self.crop * uniform[0]
        left, up = (uniform[1:3] * (2 * self.shift + 1)).floor() - self.shift
        x, y = symmetric[3:5] * (1 - scale)  # up to half of what is cut away
        return _affine(
            angle=symmetric[5] * math.radians(self.rotation),
            scale=scale,
            mirror=torch.where(uniform[6] < self.flip, -1.0, 1.0),
            x=x.add(left, alpha=2 / width),
            y=y.add(up, alpha=2 / height),
            ratio=height / width,
        )

    def _squares(self, uniform: Tensor, height: int, width: int) -> Tensor:
        """Turn numbers `(2, B)` in [0, 1) into a mask of the pixels to cut out, `(B, 1, H, W)`."""
        beside = (self.cutout + 1) % 2 / 2  # the middle of an even number of pixels lies between two
        inside = []
        for u, side in zip(uniform[:, :, None], (height, width), strict=True):  # (B, 1)
            middle = (u * side).floor() - beside
            inside.append((torch.arange(side, device=u.device) - middle).abs() < self.cutout / 2)  # (B, side)
        rows, columns = inside
        return rows[:, None, :, None] & columns[:, None, None, :]


def _affine(*, angle: Tensor, scale: Tensor, mirror: Tensor, x: Tensor, y: Tensor, ratio: float) -> Tensor:
    """Return maps `(B, 2, 3)` from an output pixel to where it is read, given numbers `(B,)`.

    A map is `scale * rotation(angle) @ (mirror * column, row) + (x, y)` from the centre, in half widths and half
    heights, which are torch's units. Rotating in those would shear, hence `ratio`, height to width.
    """
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return torch.stack((mirror * cos, sin * -ratio, x, mirror * sin / ratio, cos, y), 1).view(-1, 2, 3)


def _resample(images: Tensor, maps: Tensor, mode: str) -> Tensor:
    """Read images `(B, C, H, W)` where the maps `(B, 2, 3)` say; beyond the edge, edge pixels repeat.

    Zeros would not do: the background of a standardised image is not 0.
    """
    rows, columns = (_centres(side, maps.device, maps.dtype) for side in images.shape[2:])
    # A sum of two outer products takes a fifth of F.affine_grid's time and, unlike its matrix product, never uses TF32.
    along_row, along_column = maps[..., :1] * columns + maps[..., 2:], maps[..., 1:2] * rows  # (B, 2, W), (B, 2, H)
    grid = (along_row[:, :, None] + along_column[..., None]).permute(0, 2, 3, 1)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode, padding_mode="border", align_corners=False)


@cache
def _centres(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the positions of pixels along a side, from its centre, in half sides: `(side,)`."""
    return torch.arange(1, 2 * side, 2, device=device, dtype=dtype) / side - 1
