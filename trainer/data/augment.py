"""Augmentation: whole batches changed at random, on the device where they lie.

`B` is the batch size, `C` the number of channels, `H` and `W` height and width in pixels, `K` the number of classes.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STREAM = 0x617567  # sets these numbers apart from those that the order of an epoch is drawn from


class Augment:
    """Changes batches that were standardised; what is 0 is off. Each example draws its own numbers, but for mixup.

    The order is that of this list. The first four make one map, so that images are interpolated once, or not at all.

    Args:
        seed: of all numbers, together with the epoch and the batch.
        num_classes: `K`; mixup needs it where targets are classes.
        shift: whole pixels, at most so many in each direction.
        flip: probability of a mirror image, left to right.
        crop: at most this share of both sides is cut away, at random places, and what is left scaled to the full size
            (after Szegedy et al. 2015, with the proportions kept).
        rotation: degrees, at most so many either way about the centre.
        noise: standard deviation of Gaussian noise, in units of the standardised input.
        cutout: side in pixels of a square set to 0, the mean of the data; its centre is any pixel, so that a part of
            it may lie outside the image (DeVries and Taylor 2017).
        mixup: alpha of the Beta distribution that the share of another example is drawn from, one share for a batch
            (Zhang et al. 2018).

    Raises:
        ValueError: a number that is out of its range.
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
                raise ValueError(f"{name}={value}: expected a number of at least 0, which turns it off")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip={flip} is no probability: expected a number from 0 to 1")
        if not 0 <= crop < 1:
            raise ValueError(f"crop={crop} leaves nothing of the image: expected a number in [0, 1)")
        self.seed, self.num_classes = seed, num_classes
        self.shift, self.flip, self.crop, self.rotation = int(shift), flip, crop, rotation
        self.noise, self.cutout, self.mixup = noise, cutout, mixup

    def __call__(self, inputs: Tensor, targets: Tensor, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Inputs of the same shape, and targets: probabilities `(B, K)` where mixup found classes.

        A pure function of the seed, the epoch, the number of the batch and what is given; no other random generator is
        asked. It may work in place on the inputs, never on the targets. Nothing here waits for a GPU.

        Args:
            inputs: shape `(B, C, H, W)`, or any `(B, ...)` for noise and mixup; floats.
            targets: shape `(B,)` int64 classes, or `(B, 1)` float.
            epoch: number of the epoch.
            batch: number of the batch in it.
        """
        moves = self.shift or self.flip or self.crop or self.rotation
        if not (moves or self.noise or self.cutout or self.mixup):
            return inputs, targets
        # Torch's generator takes in 32 bits of a seed: all numbers have to be mixed into them.
        sequence = np.random.SeedSequence((STREAM, self.seed, epoch, batch))
        generator = torch.Generator(inputs.device).manual_seed(sequence.generate_state(1).item())
        like: dict[str, Any] = {"generator": generator, "device": inputs.device, "dtype": inputs.dtype}
        uniform = torch.rand(9, len(inputs), **like)  # always as many: what is on does not change what others draw
        if moves:
            # Whole pixels are read as they are: exact, and three times faster.
            mode = "bilinear" if self.crop or self.rotation else "nearest"
            inputs = _resample(inputs, self._maps(uniform[:7], *inputs.shape[2:]), mode)
        if self.noise:
            inputs.add_(torch.randn(inputs.shape, **like), alpha=self.noise)
        if self.cutout:
            inputs.masked_fill_(self._squares(uniform[7:], *inputs.shape[2:]), 0)
        if self.mixup:
            share = np.random.default_rng(sequence).beta(self.mixup, self.mixup)
            # Batches come in random order: the example before is as random a partner as any.
            inputs.lerp_(inputs.roll(1, 0), share)
            if not targets.is_floating_point():
                targets = F.one_hot(targets, self.num_classes).to(inputs.dtype)
            targets = targets.lerp(targets.roll(1, 0), share)
        return inputs, targets

    def _maps(self, uniform: Tensor, height: int, width: int) -> Tensor:
        """A map for each example, `(B, 2, 3)`, from numbers `(7, B)` in [0, 1)."""
        symmetric = 2 * uniform - 1
        scale = 1 - self.crop * uniform[0]
        left, up = (uniform[1:3] * (2 * self.shift + 1)).floor() - self.shift
        x, y = symmetric[3:5] * (1 - scale)  # half of what was cut away
        return _affine(
            angle=symmetric[5] * math.radians(self.rotation),
            scale=scale,
            mirror=torch.where(uniform[6] < self.flip, -1.0, 1.0),
            x=x.add(left, alpha=2 / width),
            y=y.add(up, alpha=2 / height),
            ratio=height / width,
        )

    def _squares(self, uniform: Tensor, height: int, width: int) -> Tensor:
        """Which pixels are cut out, `(B, 1, H, W)`, from numbers `(2, B)` in [0, 1)."""
        beside = (self.cutout + 1) % 2 / 2  # an even number of pixels has its middle between two
        inside = []
        for u, side in zip(uniform[:, :, None], (height, width), strict=True):  # (B, 1)
            middle = (u * side).floor() - beside
            inside.append((torch.arange(side, device=u.device) - middle).abs() < self.cutout / 2)  # (B, side)
        rows, columns = inside
        return rows[:, None, :, None] & columns[:, None, None, :]


def _affine(*, angle: Tensor, scale: Tensor, mirror: Tensor, x: Tensor, y: Tensor, ratio: float) -> Tensor:
    """Maps `(B, 2, 3)` from where a pixel of the output lies to where it is read, of numbers `(B,)`.

    `scale * rotation(angle) @ (mirror * column, row) + (x, y)`, from the centre, where x and y are in half widths and
    half heights. Those are torch's units for all, but a rotation of them would shear: `ratio` is that of height to
    width.
    """
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return torch.stack((mirror * cos, sin * -ratio, x, mirror * sin / ratio, cos, y), 1).view(-1, 2, 3)


def _resample(images: Tensor, maps: Tensor, mode: str) -> Tensor:
    """New images `(B, C, H, W)`, read where the maps `(B, 2, 3)` say; beyond the edge lies more of what is at the edge.

    The background of a standardised image is not 0.
    """
    rows, columns = (_centres(side, maps.device, maps.dtype) for side in images.shape[2:])
    # The sum of two outer products: a fifth of F.affine_grid's time, and never in TF32, as its matrix product may be.
    along_row, along_column = maps[..., :1] * columns + maps[..., 2:], maps[..., 1:2] * rows  # (B, 2, W), (B, 2, H)
    grid = (along_row[:, :, None] + along_column[..., None]).permute(0, 2, 3, 1)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode, padding_mode="border", align_corners=False)


@cache
def _centres(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Where pixels lie on a side, from its centre, in half sides: shape `(side,)`."""
    return torch.arange(1, 2 * side, 2, device=device, dtype=dtype) / side - 1
