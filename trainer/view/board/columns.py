"""Choose which settings of a run become columns of TensorBoard's HParams."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainer.config.keys import flat, key_values
from trainer.runs.ledger import Ledger

KEPT = ("dry_run", "resume", "checkpoint", "plots", "sweep", "tensorboard")  # settings of logging and storage
Columns = dict[str, bool | float | str]


def hyper_parameters(cfg: DictConfig, names: Mapping[str, str], command: Sequence[str], folder: Path) -> Columns:
    """Map dotted keys to values; a part is given by its name, such as model -> resnet.

    For a sweep's job these are the swept keys, for any other run all settings.
    """
    return _swept(command, Ledger(folder.parent)) or _chosen(cfg, names)


def _swept(command: Sequence[str], ledger: Ledger) -> Columns:
    """Return the same keys in all jobs, since TensorBoard draws no line for a job that lacks one.

    Each has numbers in all jobs or text in all, since a column of both can be neither sorted nor filtered.
    """
    values = {key: found for key, found in ledger.header().get("values", {}).items() if len(found) > 1}
    given = key_values(command)
    if not values.keys() <= given.keys():  # a run that somebody started in the sweep's folder
        return {}
    return {k: float(given[k]) if all(map(_is_finite, found)) else given[k] for k, found in values.items()}


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _chosen(cfg: DictConfig, names: Mapping[str, str]) -> Columns:
    """Leave out what is off (inf or null). A list's key ends in `[]`, since other models have a number there."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    columns: Columns = {}
    for key, value in flat({key: value for key, value in plain.items() if key not in KEPT}).items():
        if isinstance(value, list):
            columns[f"{key}[]"] = str(value)
        elif not key.endswith("._target_") and value not in (None, math.inf, -math.inf):
            columns[key] = value
    return {**columns, **names}
