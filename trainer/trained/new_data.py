"""Read new data the way the training data was read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from trainer.config.targets import component
from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._table.file import open_table
from trainer.data._table.splits import other_rows
from trainer.data._vocabulary import Vocabulary
from trainer.data.folder import other_folder
from trainer.data.stream import StreamLoader
from trainer.data.tensors import BatchLoader, DataSpec, Examples, Splits, TensorLoader, shaped
from trainer.data.text import other_texts
from trainer.errors import ConfigError, DataError, nearest

READS = {
    "features": "csv",
    "image": "image_folder",
    "tokens": "text",
}  # kind -> dataset that reads its files
FILES = {"trainer.data.tabular.csv": "features", "trainer.data.folder.image_folder": "image"}
FILES |= {"trainer.data.text.text": "tokens"}
HOW = ("separator", "decimal", "encoding", "header")  # settings of how a table is written
Read = tuple[Examples, Callable[..., BatchLoader], list[str]]


def other_data(cfg: DictConfig, spec: DataSpec) -> Read:
    """Read all examples of the file or folder that `cfg.data` names or, for images, another dataset's test split.

    Returns the stored examples, the loader class for them, and notes to print.

    Raises:
        DataError: the data cannot be read, lacks a column, or has a class unknown in training.
        ConfigError: the data is of another kind.
    """
    data: Any = OmegaConf.to_container(cfg.data, resolve=True)
    target, encoder = data["_target_"], encoder_of(spec)
    cure = f"use data={READS[spec.kind]} data.path=..."
    if FILES.get(target, spec.kind) != spec.kind:
        raise ConfigError(f"this model reads {spec.kind} of shape {spec.in_shape}, not {FILES[target]}; {cure}")
    if target in FILES and data.get("path") in (None, "???"):
        raise ConfigError("data.path is required: pass data.path=...")
    if target in FILES and isinstance(encoder, TableEncoder):
        file = open_table(data["path"], **how(data))
        examples, notes = other_rows(file, encoder, data.get("missing", "error"))
        return examples, TensorLoader, notes
    if target in FILES and isinstance(encoder, Vocabulary):
        options = {key: data[key] for key in ("header", "missing", "encoding") if key in data}
        examples, notes = other_texts(data["path"], encoder, spec.class_names, **options)
        return examples, TensorLoader, notes
    if target in FILES and isinstance(encoder, ImageEncoder):
        examples, notes = other_folder(data["path"], encoder, spec.class_names)
        return examples, partial(StreamLoader, workers=data.get("workers", 2)), notes
    if not isinstance(encoder, ImageEncoder):
        raise ConfigError(f"data._target_={target}: new {spec.kind} are only read from files; {cure}")
    return _other_images(component(cfg, "data", seed=cfg.seed), encoder, spec, cure)


def encoder_of(spec: DataSpec) -> Any:
    """Return what reads new data.

    Raises:
        DataError: the dataset provides nothing for that.
    """
    if spec.encoder is None:
        raise DataError("this run's data does not say how to read new data: its DataSpec has no encoder")
    return spec.encoder


def how(data: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that say how a table is written."""
    return {key: data[key] for key in HOW if key in data}


def _other_images(made: tuple[Splits, DataSpec], encoder: ImageEncoder, spec: DataSpec, cure: str) -> Read:
    """Read the test split of another image dataset in memory."""
    splits, theirs = made
    if not isinstance(theirs.encoder, ImageEncoder) or not isinstance(splits.test.inputs, torch.Tensor):
        raise ConfigError(f"this model reads images of shape {spec.in_shape}, but this data has {theirs.kind}; {cure}")
    if unknown := [name for name in theirs.class_names if name not in spec.class_names]:
        raise DataError(f"class {unknown[0]!r} is unknown in training; {nearest(unknown[0], spec.class_names)}")
    numbers = torch.tensor([spec.class_names.index(name) for name in theirs.class_names])
    labels = numbers[splits.test.targets.flatten().long()]
    images, notes = encoder.fitted(splits.test.inputs, theirs.encoder.largest)
    return Examples(images, shaped(labels, spec.task)), TensorLoader, notes
