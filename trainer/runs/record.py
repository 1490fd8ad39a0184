"""What is in a run's folder before training starts: .hydra/, as Hydra itself would write it, and train.log.

Nothing here imports torch.
"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from trainer.errors import naming
from trainer.runs.folder import RunFolder


def record(folder: Path, cfg: DictConfig) -> None:
    """Write the config, Hydra's part of it and the overrides that made it.

    Raises:
        FileSystemError: they cannot be written.
    """
    run = RunFolder(folder)
    of_run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    parts = {"config": of_run, "hydra": OmegaConf.masked_copy(cfg, "hydra"), "overrides": cfg.hydra.overrides.task}
    with naming(run.hydra):
        run.hydra.mkdir(exist_ok=True)
        for name, part in parts.items():
            (run.hydra / f"{name}.yaml").write_text(OmegaConf.to_yaml(part), encoding="utf-8")


def open_log(folder: Path) -> None:
    """Write to the folder's train.log from here on.

    Raises:
        FileSystemError: it cannot be opened.
    """
    run = RunFolder(folder)
    with naming(run.log):
        logging.basicConfig(
            filename=run.log,
            encoding="utf-8",
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            force=True,  # in place of an earlier run's
        )
    logging.getLogger("dltrain").disabled = False  # as a launcher of Hydra's leaves all that there are
