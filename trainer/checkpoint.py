"""What survives a run: weights as safetensors, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from trainer.errors import FileSystemError
from trainer.loop import Report


def save(folder: Path, model: nn.Module, report: Report) -> None:
    """Write `model.safetensors`, with step and metrics in its header; the file before it stays until this is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"epoch": report.epoch, "step": report.step} | report.val
    part = folder / "model.safetensors.part"
    try:
        save_model(model, str(part), metadata={name: repr(value) for name, value in about.items()})
    except SafetensorError as error:
        part.unlink(missing_ok=True)
        raise FileSystemError(f"{part}: cannot be written: {error}") from error
    os.replace(part, folder / "model.safetensors")


def load(folder: Path, model: nn.Module) -> None:
    """Read the weights into a model of the same shape, all of them."""
    load_model(model, folder / "model.safetensors", device=str(next(model.parameters()).device))
