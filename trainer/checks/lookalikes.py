"""Images that are another image once more: saved again, resized, or a shot of the same thing.

Two images are that if their thumbnails correlate by `LEAST`, and if the image is nearer to that training image than to
its tenth nearest one by far: simple shapes, such as the digit 1, have many that are near. Ten test images of
Fashion-MNIST are photographs that it has in training, too; in MNIST there are none, and the highest correlation is
0.9962.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.checks.copies import named
from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool

SIDE = 14  # pixels of a thumbnail
LEAST, NEARER, RANK = 0.9985, 0.1, 10
FEWEST = 256  # pixels of an image: smaller ones are alike by chance
MOST = 100_000, 10_000  # training images, and others of a split, that are compared
AT_ONCE = 500
SEEN = 1000  # images of a split whose brightness is measured


def thumbnails(pool: Pool, places: np.ndarray) -> Tensor:
    """Return grey images `(n, h, w)` float32 of at most `SIDE` pixels a side."""
    height, width = (min(SIDE, pixels) for pixels in pool.spec.in_shape[1:])
    read = (pool.stored(some) for some in np.array_split(places, len(places) // AT_ONCE + 1))
    return torch.cat([F.adaptive_avg_pool2d(images.float().mean(1), (height, width)) for images in read])


def brightness(pool: Pool) -> Iterator[tuple[Column, np.ndarray]]:
    """Yield brightness and contrast of some images of each split, and their splits."""
    of = [pool.independent[pool.split[pool.independent] == number] for number in range(len(pool.parts))]
    places = np.concatenate([every[:: len(every) // SEEN + 1] for every in of])
    images = thumbnails(pool, places).flatten(1).double()
    for name, values in (("brightness", images.mean(1)), ("contrast", images.std(1))):
        yield Column(name, values.numpy()), pool.split[places]


def lookalikes(pool: Pool) -> Iterator[Finding]:
    """Yield the images of other splits that are training images once more, without those that are equal to one."""
    if math.prod(pool.spec.in_shape[1:]) < FEWEST:
        return
    train = _evenly(pool, 0, MOST[0])
    known = _normed(thumbnails(pool, train)).T
    for number in range(len(pool.parts) - 1, 0, -1):
        both: list[tuple[int, int]] = []
        for some in np.array_split(others := _evenly(pool, number, MOST[1]), len(others) // AT_ONCE + 1):
            distances = 1 - _normed(thumbnails(pool, some)) @ known
            near = (distances.amin(1) < 1 - LEAST).nonzero().flatten()
            ranked = distances[near].topk(min(RANK, len(train)), largest=False)
            is_same = ranked.values[:, 0] < NEARER * ranked.values[:, -1]
            partners = train[ranked.indices[is_same, 0].numpy()]
            found = zip(some[near[is_same].numpy()].tolist(), partners.tolist(), strict=True)
            both += (pair for pair in found if not torch.equal(*map(pool.stored, ([place] for place in pair))))
        if first := both[: pool.most_named]:
            look = f"{pool.names[number]} images look like a training image"
            what = f"{len(both):,} of {len(others):,} {look}: thumbnails correlate by more than {LEAST}"
            yield Finding("lookalikes", what, len(both), named(pool, first), pairs=first)


def _evenly(pool: Pool, number: int, most: int) -> np.ndarray:
    start, end = pool.starts[number : number + 2]
    return np.arange(start, end, -(-(end - start) // most))


def _normed(images: Tensor) -> Tensor:
    """Return images as vectors of mean 0 and length 1, `(n, pixels)`, whose products are correlations."""
    flat = images.flatten(1)
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
