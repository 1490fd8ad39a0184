"""Several jobs of a sweep at once: how many, with how many threads, and when a worker has to stop.

The process that began a sweep says in the sweep's lock file that it wants no more. A worker looks there while its job
runs, and has it save and stop. So a sweep ends in one way under every launcher, and also where that process was killed:
the lock is free then.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from trainer.errors import ConfigError
from trainer.runs import index

STOPS = ", stopping"  # behind what the lock says
EVERY_S = 1
BUSY, WATCH = threading.Lock(), threading.Event()  # a worker has a job; something looks whether it is left


class Workers(NamedTuple):
    """What a machine, or a cluster, does at once."""

    at_once: int  # jobs
    threads: int  # of each; 0: as many as torch takes
    overrides: list[str] = []  # of Hydra's, for that
    are_processes: bool = True  # and not the one that began the sweep


def workers(cfg: DictConfig, num_jobs: int) -> Workers:
    """How many jobs the chosen launcher runs at once; the cores are divided among them.

    Raises:
        ConfigError: it is given a number that cannot be.
    """
    kind = cfg.hydra.launcher._target_.rpartition(".")[-1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if kind == "BasicLauncher":
        return Workers(1, 0, are_processes=False)
    if kind == "SlurmLauncher":  # the cores are those of other machines
        at_once = _count(cfg, "launcher.array_parallelism", num_jobs)
        return Workers(min(at_once, num_jobs), _count(cfg, "launcher.cpus_per_task", 0))
    if kind == "JoblibLauncher":
        given = _count(cfg, "launcher.n_jobs", -1, least=-cores)
        at_once = given if given > 0 else cores + 1 + given
    elif kind == "RayLauncher":
        each, cores = _count(cfg, "launcher.ray.remote.num_cpus", 1), _count(cfg, "launcher.ray.init.num_cpus", cores)
        if each > cores:
            raise ConfigError(f"hydra.launcher.ray.remote.num_cpus={each}: ray has {cores}, and would wait for ever")
        at_once = cores // each
    else:  # submitit's local executor begins all that it is given
        at_once = _count(cfg, "sweeper.max_batch_size", cores)
    is_batch = kind == "LocalLauncher" and "max_batch_size" in cfg.hydra.sweeper
    at_once = max(1, min(at_once, num_jobs))
    overrides = [f"hydra.sweeper.max_batch_size={at_once}"] if is_batch else []
    limit = os.environ.get("OMP_NUM_THREADS", "")
    threads = max(1, min(cores // at_once, int(limit) if limit.isdigit() else cores))
    return Workers(at_once, threads, overrides)


def _count(cfg: DictConfig, key: str, default: int, least: int = 1) -> int:
    value = OmegaConf.select(cfg.hydra, key)
    if value is None:
        return default
    if type(value) is not int or value < least or value == 0:
        raise ConfigError(
            f"hydra.{key}={value}: expected a whole number{' of at least 1' if least == 1 else ', not 0'}"
        )
    return value


def owner(folder: Path) -> str:
    """Who has locked the folder of a sweep, and since when."""
    return (folder / ".lock").read_text(encoding="utf-8")


def is_wanted(folder: Path, began: str) -> bool:
    """Whether the process that began the sweep goes on with it. From another machine only what it wrote can be seen."""
    return owner(folder) == began and (f" on {platform.node()}, " not in began or index.is_running(folder))


def is_left(folder: Path, began: str) -> bool:
    """Whether nobody waits for what a worker returns."""
    return not owner(folder).startswith(began) or not is_wanted(folder, owner(folder))


def want_no_more(folder: Path) -> None:
    """Said by the process that began the sweep."""
    with (folder / ".lock").open("a", encoding="utf-8") as file:
        file.write(STOPS)


def settle_in(folder: Path, began: str, threads: int) -> None:
    """What a worker does before a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a launcher would take the end of a worker for the end of all
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of libraries that torch does not speak for
    if not WATCH.is_set():
        WATCH.set()
        threading.Thread(target=_end_when_left, args=(folder, began), daemon=True).start()


def _end_when_left(folder: Path, began: str) -> None:
    """Joblib's worker would wait five minutes for its next job, where the process that began the sweep was killed."""
    with suppress(OSError):  # the folder is gone
        while not is_left(folder, began):
            time.sleep(EVERY_S)
    BUSY.acquire()  # the job that runs is saved first
    os._exit(0)
