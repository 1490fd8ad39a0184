"""The files in .hydra/ of a run's folder, as Hydra would write them. Nothing here imports torch."""

from omegaconf import DictConfig, OmegaConf


def texts(cfg: DictConfig) -> dict[str, str]:
    """Return a run's config, Hydra's node, and the overrides, by the names of their files."""
    of_run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    parts = {"config": of_run, "hydra": OmegaConf.masked_copy(cfg, "hydra"), "overrides": cfg.hydra.overrides.task}
    return {f"{name}.yaml": OmegaConf.to_yaml(part) for name, part in parts.items()}
