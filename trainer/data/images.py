"""Images in memory: bytes, turned into standardised floats a batch at a time on the device."""

from __future__ import annotations

import gzip
import math
import os
import socket
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data.tensors import DataSpec, Examples, Splits, split, splits_of
from trainer.errors import DataError


def digits(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """scikit-learn's handwritten digits: inputs `(N, 1, 8, 8)` uint8 from 0 to 16, ten classes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).to(torch.uint8)[:, None]  # (N, 1, 8, 8)
    labels = torch.from_numpy(data.target).long()
    parts = split(labels, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, stratify=True)
    return _image_data(splits_of(images, labels, parts), class_names=tuple("0123456789"))


def mnist(*, root: str = "data", val_fraction: float = 0.1, seed: int = 0) -> tuple[Splits, DataSpec]:
    """MNIST (LeCun et al. 1998): inputs `(N, 1, 28, 28)` uint8, ten classes; 10,000 of the 70,000 are the test split.

    Read from `<root>/MNIST/raw`: the four original files, packed (.gz) or not. What is packed is unpacked there; where
    there is none of them, they are downloaded.

    Raises:
        DataError: a file is missing, broken, or could not be downloaded.
    """
    folder = Path(root) / "MNIST" / "raw"
    names = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    if not any((folder / file).exists() for name in names for file in (name, name + ".gz")):
        _download(root, folder)
    images, labels, test_images, test_labels = (_read_idx(folder, name) for name in names)
    for what, x, y in [("train", images, labels), ("t10k", test_images, test_labels)]:
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise DataError(f"{folder}: {what} has images of shape {tuple(x.shape)} and labels of {tuple(y.shape)}")
        if len(y) and int(y.max()) > 9:
            index = int(y.argmax())
            raise DataError(f"{folder}/{what}-labels-idx1-ubyte: label {int(y[index])} at index {index} is not in 0..9")
    labels, test_labels = labels.long(), test_labels.long()
    train, val, _ = split(labels, val_fraction=val_fraction, seed=seed, stratify=True)
    splits = Splits(
        train=Examples(images[train, None], labels[train]),
        val=Examples(images[val, None], labels[val]),
        test=Examples(test_images[:, None], test_labels),
    )
    return _image_data(splits, class_names=tuple("0123456789"))


def _image_data(splits: Splits, *, class_names: tuple[str, ...]) -> tuple[Splits, DataSpec]:
    """Batches standardised by the mean and the standard deviation of the training images, and what they are."""
    spec = DataSpec(
        task="multiclass",
        in_shape=tuple(splits.train.inputs.shape[1:]),
        out_features=len(class_names),
        class_names=class_names,
    )
    return replace(splits, prepare=standardise(splits.train.inputs)), spec


def standardise(images: Tensor) -> Callable[[Tensor], Tensor]:
    """A map of `(B, C, H, W)` bytes to floats of mean 0 and variance 1 in each channel of `images`."""
    values = torch.arange(256, dtype=torch.float64)
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])
    mean = counts.double() @ values / counts.sum(1)
    std = (counts.double() @ values.square() / counts.sum(1) - mean.square()).sqrt().clamp_min(1e-6)

    @cache
    def affine(device: torch.device) -> tuple[Tensor, Tensor]:
        return (1 / std).float()[:, None, None].to(device), (-mean / std).float()[:, None, None].to(device)  # (C, 1, 1)

    def prepare(batch: Tensor) -> Tensor:
        scale, shift = affine(batch.device)
        return batch.to(torch.float32, copy=True).mul_(scale).add_(shift)

    return prepare


def _read_idx(folder: Path, name: str) -> Tensor:
    """The bytes of an IDX file (http://yann.lecun.com/exdb/mnist), shaped; unpacks `name.gz` beside it at first."""
    path, packed = folder / name, folder / f"{name}.gz"
    if path.exists():
        content = path.read_bytes()
    elif packed.exists():
        try:
            content = gzip.decompress(packed.read_bytes())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{packed}: incomplete or not a gzip file ({error}); delete it to download it again"
            ) from error
    else:
        raise DataError(f"{path}: not found, packed (.gz) or not, beside other files of the dataset")
    num_dims = 3 if "idx3" in name else 1
    magic, head = 0x0800 + num_dims, 4 + 4 * num_dims
    found = int.from_bytes(content[:4], "big")
    shape = tuple(int(n) for n in np.frombuffer(content[4:head], ">u4")) if len(content) >= head else ()
    if found != magic or len(content) != head + math.prod(shape):
        raise DataError(
            f"{path if path.exists() else packed}: not the IDX file that it should be: magic 0x{found:08x} (expected "
            f"0x{magic:08x}), shape {shape}, {len(content)} bytes (expected {head + math.prod(shape)})"
        )
    if not path.exists():
        _write_beside(path, content)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy())


def _write_beside(path: Path, content: bytes) -> None:
    """Whole or not at all; a folder that is not to be written is left as it is, and unpacked again next time."""
    if not path.parent.stat().st_mode & 0o222:
        return  # marked read-only, which does not stop root
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError:
        pass


def _download(root: str, folder: Path) -> None:
    from torchvision.datasets import MNIST

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        MNIST(root, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"MNIST is not in {folder.absolute()} and could not be downloaded ({reason}); put the four files "
            f"train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
            f"t10k-labels-idx1-ubyte.gz there, name another folder with data.root=, or try data=digits: it is embedded"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
