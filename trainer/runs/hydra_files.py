"""Write the files in .hydra/ of a run's folder as Hydra would. Nothing here imports torch."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from trainer.errors import naming
from trainer.files import write_text
from trainer.runs.folder import RunFolder


def write(folder: Path, cfg: DictConfig) -> None:
    """Write a run's config, Hydra's node, and the overrides.

    Raises:
        FileSystemError: they cannot be written.
    """
    run = RunFolder(folder)
    of_run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    parts = {"config": of_run, "hydra": OmegaConf.masked_copy(cfg, "hydra"), "overrides": cfg.hydra.overrides.task}
    with naming(run.hydra):
        run.hydra.mkdir(exist_ok=True)
        for name, part in parts.items():
            write_text(run.hydra / f"{name}.yaml", OmegaConf.to_yaml(part))
