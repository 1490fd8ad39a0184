"""Folders of images, one per class, read while training."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data._dividing import numbered
from trainer.data._image.contents import notes_on
from trainer.data._image.encoder import ALL_16, LEAST_STD, ImageEncoder, fit_images
from trainer.data._image.file import depth_of, header_of, like_training, of_all, pixels_of, printable
from trainer.data._image.folders import classes_of, existing, found, roots_of
from trainer.data.division import Division, Fold
from trainer.data.stream import StreamLoader
from trainer.data.tensors import DataSpec, Examples, Source, Splits, shaped, spec_of_classes, splits_of, task_of
from trainer.errors import DataError, nearest

SAMPLE = 1000  # training images that estimate mean and standard deviation
HEADERS = 10_000  # files opened before training, at most; 0.1 ms each
LARGE, OTHERWISE = 256, (64, 64)  # pixels


@dataclass(frozen=True)
class ImageFiles:
    """Image files, and how one is read: path -> `(C, H, W)` uint8."""

    paths: np.ndarray  # (N,) of str
    read_one: Callable[[str], np.ndarray]  # picklable, for worker processes

    def __len__(self) -> int:
        """Return N."""
        return len(self.paths)

    def __getitem__(self, index: slice | Tensor) -> ImageFiles:
        """Select some without reading them."""
        return replace(self, paths=self.paths[index if isinstance(index, slice) else index.numpy()])

    def read(self, index: Sequence[int]) -> Tensor:
        """Read those at `B` places: `(B, C, H, W)` uint8; files that cannot be read are a DataError."""
        return torch.from_numpy(np.stack(of_all(self.read_one, (self.paths[i] for i in index))))


def files_like_training(paths: Sequence[str], encoder: ImageEncoder) -> ImageFiles:
    """Return files to be read like the training images."""
    return ImageFiles(np.array(paths, dtype=object), partial(like_training, encoder=encoder))


def other_folder(path: str, encoder: ImageEncoder, class_names: Sequence[str]) -> tuple[Examples, list[str]]:
    """Return the images of another folder of classes, or of its `test/`, and notes for the user.

    Raises:
        DataError: no such folder, no images, or a class unknown in training.
    """
    folder = existing(path)
    roots, _ = roots_of(folder)
    has_test = "test" in roots and roots["test"].name not in class_names
    folder = roots["test"] if has_test else folder
    images, rest = classes_of(folder)
    if not images:
        cure = f"expected a folder of images for each class; dltrain predict input={printable(path)} needs none"
        raise DataError(f"{folder}: contains no folders; {cure}")
    if unknown := sorted({*map(printable, images)} - {*class_names}):
        raise DataError(f"{folder}: class {unknown[0]!r} is unknown in training; {nearest(unknown[0], class_names)}")
    of_all(header_of, [file for files in images.values() for file in files])
    notes = [*([f"read from {printable(folder.name)}/"] if has_test else []), *notes_on(rest)]
    return _examples(images, class_names, partial(like_training, encoder=encoder)), notes


def _examples(
    images: dict[str, list[str]], class_names: Sequence[str], read_one: Callable[[str], np.ndarray]
) -> Examples:
    """Return the files of each class, whose folder is named in `images`, with their targets."""
    number = {name: index for index, name in enumerate(class_names)}
    paths = np.array([file for files in images.values() for file in files], dtype=object)
    labels = torch.tensor([number[printable(name)] for name, files in images.items() for _ in files])
    source = Source(lambda rows: [printable(paths[row]) for row in rows])
    targets = shaped(labels, task_of(class_names))
    return Examples(ImageFiles(paths, read_one), targets, torch.arange(len(paths)), source=source)


def image_folder(
    *,
    path: str,
    size: int | list[int] | None = None,
    grey: bool = False,
    workers: int = 2,
    group: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    r"""Load a folder with one folder of images per class, or with `train/`, `test/` and `val/` that have them.

    Inputs are `(C, H, W)` bytes. Classes are the sorted folder names; images may lie deeper in them.

    Args:
        path: The folder.
        size: The side of a square, or [height, width]; images are scaled to it without keeping their proportions. By
            default, images that share one size of at most 256 pixels a side keep it, and others become 64 x 64.
        grey: Whether to read one channel instead of three.
        workers: Processes that read images.
        val_fraction: Fraction of the images for validation, without a val/.
        test_fraction: Fraction of the images for testing, without a test/.
        group: A regular expression in quotes, such as 'patient(\d+)'; images stay in one split if it finds the same in
            their paths within the folder.
        seed: The seed of the split.
        fold: In cross-validation, the part of the images that is the test split.

    Raises:
        DataError: no such folder, fewer than two classes, a class without images, or an image that cannot be read.
        ValueError: an invalid size or number of workers.
    """
    sides = [size, size] if isinstance(size, int) else size
    if sides is not None and not (isinstance(sides, list) and [*map(type, sides)] == [int, int] and min(sides) > 0):
        raise ValueError(f"size={size}: expected the side of a square in pixels, or [height, width]")
    if type(workers) is not int or workers < 0:
        raise ValueError(f"workers={workers}: expected a number of processes, 0 or more")

    listed, notes = found(str(path))
    files = [file for classes in listed.values() for class_files in classes.values() for file in class_files]
    headers = of_all(header_of, files[:: len(files) // HEADERS + 1])
    seen = {header.size for header in headers}
    one = next(iter(seen)) if len(seen) == 1 else None
    shape = (sides[0], sides[1]) if sides else one if one and max(one) <= LARGE else OTHERWISE
    if one != shape:
        notes.append(f"images of {one or 'various sizes'}, resized to {shape}")

    class_names = [printable(name) for name in listed["train"]]
    read_one = partial(pixels_of, size=shape, grey=grey)
    given = {part: _examples(classes, class_names, read_one) for part, classes in listed.items()}
    division = Division(0.0 if "val" in given else val_fraction, None if "test" in given else test_fraction, seed, fold)
    notes += division.notes("the test folder")
    groups = _groups(group, given["train"].inputs.paths, str(path)) if group else None
    notes += [f"groups that stay together: {len(groups.unique()):,}"] if groups is not None else []
    parts = division.parts(given["train"].targets, groups=groups)
    images: ImageFiles = given["train"].inputs[parts[0]]
    sample = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values
    depth = ALL_16
    if any(header.is_deep for header in headers):
        depth = depth_of(images[sample].paths) or ALL_16
        notes.append(f"of 16 or 32 bits: {depth[0]:,} is black, {depth[0] + 2 ** depth[1] - 1:,} white")
        images = replace(images, read_one=partial(read_one, depth=depth))
        given = {
            part: each._replace(inputs=replace(each.inputs, read_one=images.read_one)) for part, each in given.items()
        }
    splits = splits_of(given["train"]._replace(groups=groups), parts)
    val = given.get("val", splits.val)
    test = given.get("test", val if splits.test is splits.val else splits.test)

    plain: list[int] = []
    read = (images.read(index.tolist()) for index in sample.split(50))
    try:
        encoder = fit_images(_watched(read, plain), are_files=True, depth=depth)
    except DataError:
        of_all(images.read_one, images[sample].paths)  # names the others, too
        raise
    if max(encoder.std) <= LEAST_STD:
        raise DataError(f"{path}: all training images have the same single shade: nothing to learn")
    if plain:
        such = f"{len(plain):,} of {len(sample):,}, such as {printable(images[sample].paths[plain[0]])}"
        notes.append(f"training images of one shade, or wholly transparent: {such}")
    if len(sample) < len(images):
        notes.append(f"standardised by {len(sample):,} training images, sampled with the seed")
    spec = spec_of_classes(class_names, encoder.in_shape, encoder=encoder, notes=tuple(notes))
    return Splits(splits.train, val, test, encoder.prepare, partial(StreamLoader, workers=workers)), spec


def _groups(pattern: str, paths: Sequence[str], folder: str) -> Tensor:
    """Number images alike, `(N,)`, in whose paths within the folder the regular expression finds the same.

    Raises:
        DataError: it finds nothing in one.
        ValueError: it is no regular expression.
    """
    found = []
    for path in paths:
        match = re.search(pattern, os.path.relpath(path, Path(folder).expanduser()))
        if not match:
            raise DataError(f"{printable(path)}: data.group={pattern!r} finds nothing in this path")
        found.append(match[match.lastindex or 0] or "")
    return numbered(found)


def _watched(parts: Iterator[Tensor], plain: list[int]) -> Iterator[Tensor]:
    """Pass images `(N, C, H, W)` on, and collect the places of those that are of one shade."""
    seen = 0
    for part in parts:
        plain.extend((seen + one_shade(part).nonzero().flatten()).tolist())
        seen += len(part)
        yield part


def one_shade(images: Tensor) -> Tensor:
    """Return for images `(N, C, H, W)` whether all pixels of one are equal, `(N,)` bool."""
    return (images.amax((2, 3)) == images.amin((2, 3))).all(1)
