"""Read a run's own data again, or new data the way its training data was read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from trainer.build import parts
from trainer.config.keys import AS_TYPED, key_of, value_of
from trainer.config.targets import component, parameters_of
from trainer.data import description
from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._table.opening import open_table
from trainer.data._table.splits import other_rows
from trainer.data._vocabulary import Vocabulary
from trainer.data.description import fingerprints
from trainer.data.folder import other_folder
from trainer.data.stream import StreamLoader
from trainer.data.tensors import BatchLoader, DataSpec, Examples, Splits, TensorLoader, shaped
from trainer.data.text import other_texts
from trainer.errors import ConfigError, DataError, nearest
from trainer.runs.index import Run
from trainer.trained.model import Trained

READS = {"features": "csv", "image": "image_folder", "tokens": "text"}  # kind -> dataset that reads its files
FILES = {  # dataset that reads files -> kind
    "trainer.data.tabular.csv": "features",
    "trainer.data.folder.image_folder": "image",
    "trainer.data.text.text": "tokens",
}
HOW = ("separator", "decimal", "thousands", "encoding", "header", "missing_marks")  # settings of how a table is written
OF_TEXTS = ("text", "separator", "encoding", "header")
USED = ("path", "missing", "unknown", "workers", "text", "label")  # other settings of files that may differ
Read = tuple[Examples, Callable[..., BatchLoader], list[str]]  # stored examples, the loader for them, notes to print


def own_test(model: Trained, overrides: list[str]) -> tuple[BatchLoader, list[str]]:
    """Return the test split of the run's own data, with other settings such as `data.root=...`; and notes to print.

    Raises:
        ConfigError: the run's data has no such setting.
        DataError: the data has changed.
    """
    loaders, spec = parts.data(_with_data(model.cfg, overrides), model.device)
    spec = replace(spec, threshold=model.spec.threshold)
    if description.dumps(spec, loaders.train.targets, model.temperature) != model.description:
        raise DataError(
            f"{model.folder}: its data has changed: the training split has other values, classes or sizes; "
            "to evaluate it as other data, pass data.path= or data="
        )
    noted = Run(model.folder).environment.get("data", {}).get("test")
    is_same = not noted or noted == fingerprints(loaders)["test"]
    return loaders.test, [] if is_same else ["this test split differs from the run's: other values, or another order"]


def other_data(model: Trained, overrides: list[str], config_dir: str | None) -> tuple[BatchLoader, list[str]]:
    """Return all examples of another file or folder or, for images, another dataset's test split; and notes to print.

    Raises:
        DataError: the data cannot be read, lacks a column, or has a class unknown in training.
        ConfigError: the data is of another kind, or has no such setting.
    """
    if any(line.startswith("data=") for line in overrides):
        from trainer.config.check import checked  # imports Hydra, which takes longer than most predictions

        cfg = model.cfg.copy()
        cfg.data = checked(overrides, config_dir)[0].data
    else:
        cfg = with_data(model, overrides)
    if cfg.data["_target_"] in FILES:
        _check_used(overrides, cfg, model.cfg)
    examples, kind, notes = _read(cfg, model.spec)
    return model.loader(examples, kind), notes


def _check_used(overrides: list[str], cfg: DictConfig, own: DictConfig) -> None:
    """Raise ConfigError for a setting that would be ignored: the run's encoder decides it."""
    used = [*USED[: None if FILES[cfg.data["_target_"]] == "tokens" else 4], *HOW]
    for line in overrides:
        name = key_of(line).removeprefix("data.")
        if name not in ("data", *used) and cfg.data[name] != own.data.get(name):
            raise ConfigError(
                f"{line}: the run has {name}={own.data.get(name)}, and reads other data in the same way; only "
                f"{', '.join(f'data.{key}' for key in used)} may differ"
            )


def with_data(model: Trained, overrides: Sequence[str], known: Sequence[str] | None = None) -> DictConfig:
    """Return the run's config for other data: texts and labels are in the columns of training, if nothing is said.

    Raises:
        ConfigError: a setting is not among the `known`, by default those of the run's data.
    """
    cfg = model.cfg.copy()
    if isinstance(model.spec.encoder, Vocabulary):
        cfg.data.text = cfg.data.label = None
    return _with_data(cfg, overrides, known)


def _with_data(cfg: DictConfig, overrides: Sequence[str], known: Sequence[str] | None = None) -> DictConfig:
    """Return the config with other data settings, such as `data.path=other.csv`."""
    cfg = cfg.copy()
    of_data = f"the run's data, {cfg.data['_target_']}, has"
    of_data, known = (
        (of_data, parameters_of("data", cfg.data["_target_"])) if known is None else ("here, data has", known)
    )
    for line in overrides:
        key, value = key_of(line).removeprefix("data."), value_of(line)
        if key not in known:
            raise ConfigError(f"{line}: {of_data} no {key}; {nearest(key, known)}")
        try:
            is_typed = f"data.{key}" in AS_TYPED and not value.startswith("[")
            cfg.data[key] = value if is_typed else yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:  # the second for a day that no month has
            raise ConfigError(f"{line}: invalid syntax; quote the value, as in \"data.{key}='...'\"") from error
    return cfg


def _read(cfg: DictConfig, spec: DataSpec) -> Read:
    data: Any = OmegaConf.to_container(cfg.data, resolve=True)
    target, encoder = data["_target_"], encoder_of(spec)
    cure = f"use data={READS[spec.kind]} data.path=..."
    if FILES.get(target, spec.kind) != spec.kind:
        raise ConfigError(f"this model reads {spec.kind} of shape {spec.in_shape}, not {FILES[target]}; {cure}")
    if target in FILES and data.get("path") in (None, "???"):
        raise ConfigError("data.path is required: pass data.path=...")
    if target in FILES and isinstance(encoder, TableEncoder):
        file = open_table(data["path"], **how(data))
        examples, notes = other_rows(file, encoder, data.get("missing", "error"), data.get("unknown", "note"))
        return examples, TensorLoader, notes
    if target in FILES and isinstance(encoder, Vocabulary):
        options = how(data, (*OF_TEXTS, "label", "missing", "unknown"))
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


def how(data: Mapping[str, Any], keys: Sequence[str] = HOW) -> dict[str, Any]:
    """Return the settings that say how a table is written."""
    return {key: data[key] for key in keys if key in data}


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
