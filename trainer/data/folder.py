"""Folders of images, one per class, read while training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder, fit_images
from trainer.data._image.file import SUFFIXES, like_training, pixels_of, printable, size_of
from trainer.data.stream import StreamLoader
from trainer.data.tensors import DataSpec, Examples, Splits, shaped, spec_of_classes, split, splits_of, task_of
from trainer.errors import DataError, nearest

SAMPLE = 1000  # training images that estimate mean and standard deviation
HEADERS = 10_000  # files opened before training, at most; 0.1 ms each
LARGE, OTHERWISE = 256, (64, 64)  # pixels
PARTS = ("train", "val", "test")


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
        """Read those at `B` places: `(B, C, H, W)` uint8; a file that cannot be read is a DataError."""
        return torch.from_numpy(np.stack([self.read_one(self.paths[i]) for i in index]))


def files_like_training(paths: Sequence[str], encoder: ImageEncoder) -> ImageFiles:
    """Return files to be read like the training images."""
    return ImageFiles(np.array(paths, dtype=object), partial(like_training, encoder=encoder))


def other_folder(path: str, encoder: ImageEncoder, class_names: Sequence[str]) -> tuple[Examples, list[str]]:
    """Return the images of another folder of classes, or of its `test/`, and notes for the user.

    Raises:
        DataError: no such folder, no images, or a class unknown in training.
    """
    folder = _existing(path)
    has_parts = (folder / "test").is_dir() and (folder / "train").is_dir() and not {"train", "test"} & {*class_names}
    folder = folder / "test" if has_parts else folder
    images, others = _classes(folder)
    if not images:
        raise DataError(f"{folder}: contains no folders; expected a folder of images for each class")
    if unknown := sorted({*map(printable, images)} - {*class_names}):
        raise DataError(f"{folder}: class {unknown[0]!r} is unknown in training; {nearest(unknown[0], class_names)}")
    notes = [*(["read from test/"] if has_parts else []), *_ignored(others)]
    return _examples(images, class_names, partial(like_training, encoder=encoder)), notes


def _examples(
    images: dict[str, list[str]], class_names: Sequence[str], read_one: Callable[[str], np.ndarray]
) -> Examples:
    """Return the files of each class, whose folder is named in `images`, with their targets."""
    number = {name: index for index, name in enumerate(class_names)}
    paths = np.array([file for files in images.values() for file in files], dtype=object)
    labels = torch.tensor([number[printable(name)] for name, files in images.items() for _ in files])
    return Examples(ImageFiles(paths, read_one), shaped(labels, task_of(class_names)))


def images_below(folder: str) -> list[str]:
    """List all image files in a folder and its subfolders, sorted by name."""
    return [file for file in _files(folder) if file.lower().endswith(SUFFIXES)]


def image_folder(
    *,
    path: str,
    size: int | list[int] | None = None,
    grey: bool = False,
    workers: int = 2,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Load a folder with one folder of images per class, or with `train/`, `test/` and `val/` that have them.

    Inputs are `(C, H, W)` bytes, with three channels or a grey one. `size` is `[H, W]` or the side of a square; images
    are scaled to it without keeping their proportions. By default, images that share one size of at most `LARGE` pixels
    a side keep it, and others become `OTHERWISE`. Classes are the sorted folder names; images may lie deeper in them.
    `test_fraction` and `val_fraction` apply if there is no such folder. `workers` processes read.

    Raises:
        DataError: no such folder, fewer than two classes, a class without images, or an image that cannot be read.
        ValueError: an invalid size or number of workers.
    """
    sides = [size, size] if isinstance(size, int) else size
    if sides is not None and not (isinstance(sides, list) and [*map(type, sides)] == [int, int] and min(sides) > 0):
        raise ValueError(f"size={size}: expected the side of a square in pixels, or [height, width]")
    if type(workers) is not int or workers < 0:
        raise ValueError(f"workers={workers}: expected a number of processes, 0 or more")

    found, notes = _found(_existing(path))
    files = [file for classes in found.values() for class_files in classes.values() for file in class_files]
    seen = {size_of(file) for file in files[:: len(files) // HEADERS + 1]}
    one = next(iter(seen)) if len(seen) == 1 else None
    shape = (sides[0], sides[1]) if sides else one if one and max(one) <= LARGE else OTHERWISE
    if one != shape:
        notes.append(f"images of {one or 'various sizes'}, resized to {shape}")

    class_names = [printable(name) for name in found["train"]]
    read_one = partial(pixels_of, size=shape, grey=grey)
    given = {part: _examples(classes, class_names, read_one) for part, classes in found.items()}
    parts = split(
        given["train"].targets,
        val_fraction=0.0 if "val" in given else val_fraction,
        test_fraction=None if "test" in given else test_fraction,
        seed=seed,
        stratify=True,
    )
    splits = splits_of(*given["train"], parts)
    val = given.get("val", splits.val)
    test = given.get("test", val if splits.test is splits.val else splits.test)

    images: ImageFiles = splits.train.inputs
    sample = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values
    encoder = fit_images((images.read(index.tolist()) for index in sample.split(50)), are_files=True)
    if len(sample) < len(images):
        notes.append(f"standardised by {len(sample):,} training images, sampled with the seed")
    spec = spec_of_classes(class_names, encoder.in_shape, encoder=encoder, notes=tuple(notes))
    return Splits(splits.train, val, test, encoder.prepare, partial(StreamLoader, workers=workers)), spec


def _found(folder: Path) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """Return part -> class -> files, for `train` and the other parts that have folders, and notes for the user."""
    roots, notes = {"train": folder}, []
    folders = [entry.name for entry in _entries(folder) if entry.is_dir()]
    others = [name for name in folders if name not in PARTS]
    if "train" in folders and (not others or any(entry.is_dir() for entry in _entries(folder / "train"))):
        roots = {part: folder / part for part in PARTS if part in folders}
        if others:
            notes.append(f"ignored next to train/: {printable(', '.join(others))}")
    listed = {part: _classes(root) for part, root in roots.items()}
    found = {part: images for part, (images, _) in listed.items()}
    names = list(found["train"])
    for part, classes in found.items():
        root = printable(roots[part])
        if len(names) < 2 or not classes:
            problem = f"the only class is {printable(names[0])!r}" if classes else "contains no folders"
            raise DataError(f"{root}: {problem}; expected a folder of images for each of at least two classes")
        if unknown := [printable(name) for name in classes if name not in found["train"]]:
            raise DataError(f"{root}/{unknown[0]}: train/ has no class {unknown[0]!r}; {nearest(unknown[0], names)}")
    return found, notes + _ignored([file for _, others in listed.values() for file in others])


def _existing(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder.absolute()}: {'a file, not a folder' if folder.exists() else 'no such folder'}")
    return folder


def _ignored(files: list[str]) -> list[str]:
    return [f"ignored, not images of a class: {len(files):,} files, such as {printable(files[0])}"] if files else []


def _classes(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the images of each class, by the name of its folder, and all other files."""
    images: dict[str, list[str]] = {}
    others: list[str] = []
    for entry in _entries(root):
        if not entry.is_dir():
            others.append(entry.path)
            continue
        files = list(_files(entry.path))
        images[entry.name] = [file for file in files if file.lower().endswith(SUFFIXES)]
        others += [file for file in files if not file.lower().endswith(SUFFIXES)]
        if not images[entry.name]:
            raise DataError(f"{printable(entry.path)}: no images in the folder of this class ({', '.join(SUFFIXES)})")
    return images, others


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """List what is in a folder and not hidden, sorted by name."""
    return sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name)


def _files(folder: str) -> Iterator[str]:
    """Yield all files in a folder and its subfolders, including broken links, which fail when they are read."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif entry.is_file() or entry.is_symlink():
            yield entry.path
