"""What the data of a run was, in few bytes: another fingerprint means other data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.data.tensors import Loaders

SAMPLE = 4 * 2**20  # bytes of the inputs of a split that are hashed
FILES = 10_000  # of a split's that are looked at


def fingerprints(data: Loaders) -> dict[str, str]:
    """Split -> 16 hexadecimal digits, of the examples as they are stored, in their order.

    All targets are hashed, and of the inputs an even sample beside the sum of all: a changed pixel changes that, an
    exchange of two examples the targets or, by chance, the sample. Inputs that stay in files stand for themselves with
    name and size.
    """
    return {split: _fingerprint(loader) for split, loader in zip(Loaders._fields, data, strict=True)}


def _fingerprint(loader: Any) -> str:
    found = hashlib.blake2b(digest_size=8)
    inputs = getattr(loader, "inputs", None)
    for part in [loader.targets, *(_parts(inputs) if isinstance(inputs, Tensor) else [])]:
        found.update(f"{part.dtype} {tuple(part.shape)}".encode())
        found.update(part.cpu().contiguous().numpy().data)
    paths = getattr(inputs, "paths", [])
    for path in paths[:: len(paths) // FILES + 1]:
        file = Path(path)
        size = file.stat().st_size if file.exists() else "missing"
        found.update(f"{file.parent.name}/{file.name} {size}".encode(errors="surrogateescape"))
    return found.hexdigest()


def _parts(inputs: Tensor) -> list[Tensor]:
    """Evenly spaced rows, and the sum of all bytes, eight at a time."""
    size = inputs.numel() * inputs.element_size()
    whole = inputs.contiguous().flatten().view(torch.uint8)
    whole = whole.clone() if whole.storage_offset() % 8 else whole  # such as the rows of a table from the third on
    words = whole[: len(whole) // 8 * 8].view(torch.int64)
    shape = torch.tensor(inputs.shape)
    return [shape, inputs[:: size // SAMPLE + 1], words.sum(), whole[len(words) * 8 :]]
