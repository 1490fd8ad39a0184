"""Which of a run's settings are columns of TensorBoard's HParams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainer.differences import flat
from trainer.sweep.ledger import Ledger, key_values

KEPT = ("dry_run", "resume", "checkpoint", "plots", "sweep", "tensorboard")  # how a run is kept, and not what it is
Columns = dict[str, bool | float | str]


def hyper_parameters(cfg: DictConfig, names: Mapping[str, str], command: Sequence[str], folder: Path) -> Columns:
    """Dotted key -> value; a part stands as its name, such as model -> resnet.

    Of a job of a sweep, what was given: its jobs have the same keys then, whatever arguments their models take. Of any
    other run, all that was chosen.
    """
    ledger = Ledger(folder.parent)
    return _given(names, command, ledger) if ledger.path.exists() else _chosen(cfg, names)


def _given(names: Mapping[str, str], command: Sequence[str], ledger: Ledger) -> Columns:
    """A key has numbers in all jobs, or text in all: a column of both can be neither sorted nor filtered."""
    sweep = next((event for event in ledger.events() if event["event"] == "sweep"), {})
    tried = [key_values(sample.split()) for sample in sweep.get("samples", ())]  # where each value occurs once
    words = {key for values in tried for key, value in values.items() if not _is_finite(value)}
    given = {k: v for k, v in key_values(command).items() if not k.startswith("--") and k.split(".")[0] not in KEPT}
    numbers = {key: float(value) for key, value in given.items() if key not in words and _is_finite(value)}
    return {**given, **numbers, **names}


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _chosen(cfg: DictConfig, names: Mapping[str, str]) -> Columns:
    """Without what is off, by inf or null. A list has `[]` behind its key: other models have a number there."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    found = flat({key: value for key, value in plain.items() if key not in KEPT})
    columns = {
        f"{key}[]" if isinstance(value, list) else key: str(value) if isinstance(value, list) else value
        for key, value in found.items()
        if not key.endswith("._target_") and value is not None and value not in (math.inf, -math.inf)
    }
    return {**columns, **names}
