"""Folders of images, a folder a class, read from their files while training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder, fit_images
from trainer.data._image.file import SUFFIXES, pixels_of, printable, size_of
from trainer.data._image.like_training import like_training
from trainer.data.stream import StreamLoader
from trainer.data.tensors import DataSpec, Examples, Splits, split, splits_of
from trainer.errors import DataError, nearest

SAMPLE = 1000  # training images from which mean and standard deviation are estimated
HEADERS = 10_000  # files that are looked into before training, of more some; 0.1 ms each
LARGE, OTHERWISE = 256, (64, 64)  # pixels
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class ImageFiles:
    """Files, and the form in which they are read."""

    paths: np.ndarray  # (N,) of str
    size: tuple[int, int]
    grey: bool

    def __len__(self) -> int:
        """N."""
        return len(self.paths)

    def __getitem__(self, index: slice | Tensor) -> ImageFiles:
        """Those at the index, still unread."""
        return replace(self, paths=self.paths[index if isinstance(index, slice) else index.numpy()])

    def read(self, index: Sequence[int]) -> Tensor:
        """Those at the `B` places: `(B, C, H, W)` uint8.

        Raises:
            DataError: one that cannot be read; names the file.
        """
        return torch.from_numpy(np.stack([pixels_of(self.paths[i], self.size, grey=self.grey) for i in index]))


@dataclass(frozen=True)
class FilesLikeTraining(ImageFiles):
    """Files that are read as the images of training were."""

    encoder: ImageEncoder

    def read(self, index: Sequence[int]) -> Tensor:
        """Those at the `B` places: `(B, C, H, W)` uint8.

        Raises:
            DataError: one that cannot be read; names the file.
        """
        return torch.from_numpy(np.stack([like_training(self.paths[i], self.encoder) for i in index]))


def files_like_training(paths: Sequence[str], encoder: ImageEncoder) -> FilesLikeTraining:
    """Those files."""
    return FilesLikeTraining(np.array(paths, dtype=object), encoder.size, encoder.is_grey, encoder)


def other_folder(path: str, encoder: ImageEncoder, class_names: Sequence[str]) -> tuple[Examples, list[str]]:
    """All images of another folder that holds one for each class, or those of its `test/`; and what to say of them.

    Raises:
        DataError: no such folder, no images, or a class that training does not know.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder.absolute()}: {'a file, not a folder' if folder.exists() else 'no such folder'}")
    has_parts = (folder / "test").is_dir() and (folder / "train").is_dir() and not {"train", "test"} & {*class_names}
    folder = folder / "test" if has_parts else folder
    images, others = _classes(folder)
    if not images:
        raise DataError(f"{folder}: there are no folders in it; expected a folder of images for each class")
    if unknown := [name for name in map(printable, images) if name not in class_names]:
        raise DataError(f"{folder}: class {unknown[0]!r} is unknown in training; {nearest(unknown[0], class_names)}")
    paths = [file for files in images.values() for file in files]
    labels = torch.tensor([class_names.index(printable(name)) for name, files in images.items() for _ in files])
    notes = ["read from test/"] if has_parts else []
    notes += (
        [f"left out, as no images of a class: {len(others):,} files, such as {printable(others[0])}"] if others else []
    )
    targets = labels.float()[:, None] if len(class_names) == 2 else labels
    return Examples(files_like_training(paths, encoder), targets), notes


def images_below(folder: str) -> list[str]:
    """All image files in a folder and its folders, by their names, sorted."""
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
    """A folder that holds one folder of images for each class, or `train/`, `test/` and `val/` that do.

    Inputs are `(C, H, W)` bytes, three colours or one grey. `size` is `[H, W]`, or the side of a square: an image is
    scaled to it as a whole, so that its proportions may change. Without one, images that are all of one size of at most
    `LARGE` pixels a side keep it, and others become `OTHERWISE`. Classes are the names of the folders, sorted; images
    may lie deeper in them. `test_fraction` and `val_fraction` are for what has no folder. `workers` processes read.

    Raises:
        DataError: no such folder, no classes, a class without images or only one; an image that cannot be read.
        ValueError: a size or a number of workers that cannot be.
    """
    sides = [size, size] if isinstance(size, int) else size
    if sides is not None and not (
        isinstance(sides, list) and len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)
    ):
        raise ValueError(f"size={size}: expected the side of a square in pixels, or [height, width]")
    if type(workers) is not int or workers < 0:
        raise ValueError(f"workers={workers}: expected a number of processes, 0 or more")

    found, notes = _found(Path(path).expanduser())
    files = [file for classes in found.values() for class_files in classes.values() for file in class_files]
    seen = {size_of(file) for file in files[:: len(files) // HEADERS + 1]}
    one = next(iter(seen)) if len(seen) == 1 else None
    shape = (sides[0], sides[1]) if sides else one if one and max(one) <= LARGE else OTHERWISE
    if one != shape:
        notes.append(f"images of {one or 'various sizes'}, resized to {shape}")

    class_names = list(found["train"])
    binary = len(class_names) == 2

    def examples(classes: dict[str, list[str]]) -> Examples:
        paths = np.array([file for name in class_names for file in classes.get(name, [])], dtype=object)
        counts = torch.tensor([len(classes.get(name, [])) for name in class_names])
        labels = torch.arange(len(class_names)).repeat_interleave(counts)
        return Examples(ImageFiles(paths, shape, grey), labels.float()[:, None] if binary else labels)

    given = {part: examples(classes) for part, classes in found.items()}
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
        notes.append(f"standardised by {len(sample):,} of the training images, drawn by the seed")
    spec = DataSpec(
        task="binary" if binary else "multiclass",
        in_shape=(1 if grey else 3, *shape),
        out_features=1 if binary else len(class_names),
        class_names=tuple(printable(name) for name in class_names),
        encoder=encoder,
        notes=tuple(notes),
    )
    return Splits(splits.train, val, test, encoder.prepare, partial(StreamLoader, workers=workers)), spec


def _found(folder: Path) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """The files of each class of `train` and, where they have folders, `val` and `test`; and what to say of it all."""
    if not folder.is_dir():
        raise DataError(f"{folder.absolute()}: {'a file, not a folder' if folder.exists() else 'no such folder'}")
    roots, notes = {"train": folder}, []
    folders = [entry.name for entry in _entries(folder) if entry.is_dir()]
    others = [name for name in folders if name not in PARTS]
    if "train" in folders and (not others or any(entry.is_dir() for entry in _entries(folder / "train"))):
        roots = {part: folder / part for part in PARTS if part in folders}
        if others:
            notes.append(f"beside train/ and not read: {printable(', '.join(others))}")
    listed = {part: _classes(root) for part, root in roots.items()}
    found = {part: images for part, (images, _) in listed.items()}
    names = list(found["train"])
    for part, classes in found.items():
        root = printable(roots[part])
        if len(names) < 2 or not classes:
            there_is = f"the only class is {printable(names[0])!r}" if classes else "there are no folders in it"
            raise DataError(f"{root}: {there_is}; expected a folder of images for each of two classes or more")
        if unknown := [printable(name) for name in classes if name not in names]:
            raise DataError(f"{root}/{unknown[0]}: train/ has no class {unknown[0]!r}; {nearest(unknown[0], names)}")
    if left_out := [file for _, others in listed.values() for file in others]:
        notes.append(f"left out, as no images of a class: {len(left_out):,} files, such as {printable(left_out[0])}")
    return found, notes


def _classes(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The images of each class, by the name of its folder, and the files that are none."""
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
    """What is in a folder and not hidden, sorted."""
    return sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name)


def _files(folder: str) -> Iterator[str]:
    """All files in a folder and its folders; a link that leads nowhere is one, and found out when it is read."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif entry.is_file() or entry.is_symlink():
            yield entry.path
