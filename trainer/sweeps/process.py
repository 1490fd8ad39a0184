"""Subprocesses that train, forked from a server that has imported what most runs need and done nothing else.

So one starts in a moment, in a clean state, and whatever ends it ends nothing else.
"""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from omegaconf import DictConfig, OmegaConf

from trainer.errors import STOPS, DltrainError, Halt, Halted, Stopped, never
from trainer.files import regular
from trainer.job import run_job
from trainer.runs.folder import RunFolder

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess  # Windows has none
    from multiprocessing.process import BaseProcess

PR_SET_PDEATHSIG = 1  # of Linux's prctl
SERVER_KILLED = 255  # the exit code that multiprocessing reports where it cannot know


class Task(NamedTuple):
    """What a subprocess trains; the arguments of `trainer.job.run_job`."""

    cfg: DictConfig
    folder: Path
    names: Mapping[str, str]
    command: Sequence[str]
    halt: Halt = never
    composed: DictConfig | None = None


def context() -> ForkServerContext:
    """Start the server unless it runs. It ignores Ctrl-C and ends with this process."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["trainer.sweeps.preload"])
    resource_tracker.ensure_running()  # otherwise the server starts it, and unblocks the signals
    before, is_safe = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS), os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"  # as the command line has it, where Python calls this
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_safe is None:
            del os.environ["PYTHONSAFEPATH"]
    atexit.unregister(_end_server)
    atexit.register(_end_server)
    return made


def _end_server() -> None:
    """Kill the server: by itself it would tear torch down first, and whoever reads our output would wait a second."""
    with suppress(ProcessLookupError):
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]


def without_main(process: BaseProcess) -> None:
    """Start a subprocess that does not import the user's own script again, which may start a sweep itself."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main


def warm_up() -> int:
    """Wait until the server has finished its imports; return the number of CUDA devices, counted in a subprocess."""
    process = context().Process(target=_count_gpus)
    without_main(process)
    process.join()
    assert process.exitcode is not None
    return process.exitcode if 0 < process.exitcode < SERVER_KILLED else 0


def _count_gpus() -> None:
    import torch

    sys.exit(torch.cuda.device_count())


def start(task: Task, threads: int = 0, gpu: str = "") -> ForkServerProcess:
    """Start a subprocess that trains.

    Args:
        task: what to train.
        threads: that torch takes; 0: as many as it takes by itself.
        gpu: the only one that it sees; "": all that this process sees.
    """
    plain = OmegaConf.masked_copy(task.cfg, [str(key) for key in task.cfg if key != "hydra"])
    limits = {"OMP_NUM_THREADS": str(threads or ""), "CUDA_VISIBLE_DEVICES": gpu}
    environment = os.environ | {name: value for name, value in limits.items() if value}
    process = context().Process(target=_work, args=(task._replace(cfg=plain), threads, environment))
    without_main(process)
    return process


def tell(process: ForkServerProcess, signum: int) -> None:
    """Send a signal, unless the subprocess is gone."""
    assert process.pid
    with suppress(ProcessLookupError):
        os.kill(process.pid, signum)


def exit_code(process: ForkServerProcess) -> int:
    """Wait for a subprocess, kill what it started, and return its exit code, negative for a signal."""
    process.join()
    assert process.pid
    assert process.exitcode is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.exitcode


def _end_with_parent() -> None:
    """Kill this process group, data workers included, when the parent process ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _work(task: Task, threads: int, environment: Mapping[str, str]) -> None:
    """Train: the target of the subprocess. Its output goes to its log, not to the terminal."""
    os.environ.update(environment)  # before CUDA is initialised; the server's environment is older
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # along with the process it was forked from
    os.setpgid(0, 0)  # Ctrl-C reaches only the process that waits
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(regular(RunFolder(task.folder).log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    if threads:
        import torch

        torch.set_num_threads(threads)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        run_job(*task)
    except DltrainError as error:
        sys.exit(error.code)
    except (Halted, Stopped) as stopped:
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
