"""How many jobs of a sweep run at a time, with how many threads, and on which GPUs."""

import os

from omegaconf import DictConfig, OmegaConf

from trainer.config.launchers import BASIC
from trainer.errors import ConfigError
from trainer.sweeps.pool import Workers
from trainer.sweeps.process import warm_up


def workers(cfg: DictConfig, num_jobs: int) -> Workers:
    """Divide the cores or GPUs among the jobs; `sweep.jobs=auto` runs as many at a time as fit.

    Raises:
        ConfigError: an invalid setting of a launcher, or `sweep.jobs` where the launcher has its own.
    """
    target, choice = cfg.hydra.launcher._target_, cfg.hydra.runtime.choices["hydra/launcher"]
    kind, gpus = target.rpartition(".")[-1], list[str]()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(given) if given.isdigit() else 0
    if kind in ("RayLauncher", "SlurmLauncher") and cfg.sweep.jobs != 1:
        raise ConfigError(
            f"sweep.jobs={cfg.sweep.jobs} divides this machine; hydra/launcher={choice} has its own settings, "
            "give sweep.jobs=1"
        )
    if kind == "SlurmLauncher":
        return Workers(min(_count(cfg, "array_parallelism", num_jobs), num_jobs), _count(cfg, "cpus_per_task", 0))
    if kind == "RayLauncher":
        each, cores = _count(cfg, "ray.remote.num_cpus", 1), _count(cfg, "ray.init.num_cpus", cores)
        if each > cores:
            raise ConfigError(f"hydra.launcher.ray.remote.num_cpus={each}: ray has {cores} and would wait forever")
        at_once = cores // each
    elif target == BASIC and cfg.sweep.jobs == 1:
        return Workers()
    else:
        if target == BASIC and cfg.device in ("auto", "cuda"):
            gpus = _gpus()
        at_once = (len(gpus) or cores // (limit or 1)) if cfg.sweep.jobs == "auto" else cfg.sweep.jobs
    at_once = max(1, min(at_once, num_jobs))
    return Workers(at_once, max(1, min(cores // at_once, limit or cores)), gpus)


def in_words(found: Workers) -> str:
    """Describe in one line how the machine is divided."""
    jobs = "1 job" if found.at_once == 1 else f"{found.at_once} jobs"
    threads = f", {found.threads} thread{'s' * (found.threads > 1)} each" if found.threads else ""
    return f"{jobs} at a time{threads}" + (f", on GPU {', '.join(found.gpus[: found.at_once])}" if found.gpus else "")


def _gpus() -> list[str]:
    """Return the GPUs that this process sees, named as in CUDA_VISIBLE_DEVICES."""
    count, visible = warm_up(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def _count(cfg: DictConfig, key: str, default: int) -> int:
    value = OmegaConf.select(cfg.hydra.launcher, key)
    if value is None:
        return default
    if type(value) is not int or value < 1:
        raise ConfigError(f"hydra.launcher.{key}={value}: expected a whole number of at least 1")
    return value
