"""What the tested model said for each example of the test split, kept with the run."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainer.errors import CheckpointError
from trainer.files import read, replacing

LARGEST = 2**28  # bytes


class Tested(NamedTuple):
    """Outputs, targets and rows of the test split, in its order."""

    outputs: Tensor  # (N, K) logits, or standardised values
    targets: Tensor  # (N,) int64, or (N, 1) float
    rows: Tensor  # (N,) int64, places in the data as it is stored, from 0


def write(path: Path, tested: Tested) -> None:
    """Write the file whole or not at all."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tested._asdict().items()}
    with replacing(path) as part:
        part.write_bytes(save(tensors))


def of(path: Path) -> Tested:
    """Read the file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        found = load(read(path, LARGEST))
        tested = Tested(*(found[name] for name in Tested._fields))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    num_examples = len(tested.rows)
    is_whole = tested.outputs.ndim == 2 and {len(tensor) for tensor in tested} == {num_examples}
    if not is_whole or tested.rows.dtype != torch.int64 or not tested.outputs.is_floating_point():
        raise CheckpointError(f"{path}: does not hold outputs, targets and rows of as many examples")
    return tested
