"""Several jobs of a sweep at once: how many, with how many threads, and how the processes that run them are stopped.

The launcher runs in a process, and a group of processes, of its own: Ctrl-C in a terminal reaches the process that
began the sweep, and that one alone. It says in the sweep's lock file that it wants no more; a worker looks there while
its job runs, and has it save and stop. So a sweep ends in one way under every launcher, and also where that process
was killed: its lock is free then.
"""

from __future__ import annotations

import os
import pickle
import platform
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from types import FrameType
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from trainer import runs
from trainer.errors import ConfigError, Stopped, SweepError

EVERY_S, PATIENCE_S = 0.1, 30
LOG = "launcher.log"
STOPS = ", stopping"  # behind what the lock says


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
        at_once = _count(cfg, "launcher.ray.init.num_cpus", cores) // _count(cfg, "launcher.ray.remote.num_cpus", 1)
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


@contextmanager
def launcher_apart(folder: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """A process that calls what it is handed, here to launch jobs, and answers when that has returned.

    The first Ctrl-C or SIGTERM has all jobs save and stop, the second leaves.

    Raises:
        Stopped: a signal has come.
        SweepError: the launcher has failed.
    """
    came: list[int] = []

    def stop(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            with (folder / ".lock").open("a", encoding="utf-8") as file:
                file.write(STOPS)

    code = f"import sys; sys.path[:] = {sys.path}; from trainer.sweep.workers import _serve; _serve()"
    command = [sys.executable, "-c", code]
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (folder / LOG).open("a") as log:
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=log, start_new_session=True)

        def call(task: Callable[[], None]) -> None:
            _ask(process, task, came)
            if came:
                raise Stopped(came[0])
            if process.poll() is not None:
                goes_on = f"dltrain -m resume={folder} goes on"
                raise SweepError(f"the launcher has failed, {folder / LOG} says why; {goes_on}")

        yield call
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            _tell(process, None)
            process.wait(PATIENCE_S)
    finally:
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()  # its end tells the other process that this one has ended
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(process: subprocess.Popen, task: Callable[[], None], came: list[int]) -> None:
    """Have the task done; returns earlier where two signals have come, or the process has ended."""
    with suppress(BrokenPipeError):
        _tell(process, task)
    assert process.stdout is not None
    has_said, answers = False, process.stdout.fileno()
    while process.poll() is None and len(came) < 2 and not select.select([answers], [], [], EVERY_S)[0]:
        if came and not has_said:
            print("stopping: the jobs that run are saved; once more leaves at once", flush=True)
            has_said = True
    if process.poll() is None and len(came) < 2:
        os.read(answers, 1)


def _tell(process: subprocess.Popen, what: object) -> None:
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(what))
    process.stdin.flush()


def _serve() -> None:
    """What the process does: it ends with the one that began the sweep."""
    answers = os.dup(1)
    os.dup2(2, 1)
    tasks: queue.SimpleQueue = queue.SimpleQueue()

    def follow() -> None:
        with suppress(EOFError):
            while True:
                tasks.put(pickle.load(sys.stdin.buffer))
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    while task := tasks.get():
        task()
        os.write(answers, b".")


def owner(folder: Path) -> str:
    """Who has locked the folder of a sweep, and since when."""
    return (folder / ".lock").read_text(encoding="utf-8")


def is_wanted(folder: Path, began: str) -> bool:
    """Whether the process that began the sweep goes on with it. From another machine only what it wrote can be seen."""
    return owner(folder) == began and (f" on {platform.node()}, " not in began or runs.is_running(folder))


def is_left(folder: Path, began: str) -> bool:
    """Whether nobody waits for what a worker returns."""
    return not owner(folder).startswith(began) or not is_wanted(folder, owner(folder))


def settle_in(threads: int) -> None:
    """What a worker does before its first job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a launcher would take the end of a worker for the end of all
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of libraries that torch does not speak for
