"""What is in a run's folder before training starts: .hydra/, as Hydra itself would write it, and train.log.

Nothing here imports torch.
"""

from __future__ import annotations

import logging
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from trainer.errors import CheckpointError, FileSystemError
from trainer.runs.diff import LOADER


def record(folder: Path, cfg: DictConfig) -> None:
    """Write the config, Hydra's part of it and the overrides that made it, and open the log.

    Raises:
        FileSystemError: they cannot be written.
    """
    of_run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    parts = {"config": of_run, "hydra": OmegaConf.masked_copy(cfg, "hydra"), "overrides": cfg.hydra.overrides.task}
    try:
        (folder / ".hydra").mkdir(exist_ok=True)
        for name, part in parts.items():
            (folder / ".hydra" / f"{name}.yaml").write_text(OmegaConf.to_yaml(part), encoding="utf-8")
        logging.basicConfig(
            filename=folder / "train.log",
            encoding="utf-8",
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            force=True,  # in place of an earlier run's
        )
    except OSError as error:
        raise FileSystemError(f"{error.filename or folder}: {error.strerror or error}") from error


def overrides_of(folder: Path) -> list[str]:
    """Read the overrides that made a run's config, and those alone: of a sweep's job its own.

    Raises:
        CheckpointError: the folder does not say.
    """
    path = folder / ".hydra" / "overrides.yaml"
    try:
        return [str(line) for line in yaml.load(path.read_bytes(), LOADER)]
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: does not say how the run was begun: {' '.join(str(error).split())}") from error
