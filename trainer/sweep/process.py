"""A job in a process of its own: whatever ends it, nothing else ends with it.

The processes are forked from one that has imported what most jobs need and done nothing else, so that a job
begins in a moment and in a clean state.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from trainer.errors import DltrainError, Halt, Halted, Stopped
from trainer.job import run_job

PRELOAD = [  # what most jobs import
    "trainer.train",
    "sklearn.datasets",
    "sklearn.linear_model",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "trainer.view.board.writing",
]
PR_SET_PDEATHSIG = 1  # of Linux's prctl
STOPS = (signal.SIGINT, signal.SIGTERM)
EVERY_S = 0.5


def context() -> ForkServerContext:
    """Has the parent of the processes running. Ctrl-C, which reaches it too, leaves it alone: it ends with this one."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOAD)
    os.environ["PYTHONSAFEPATH"] = "1"  # a user's own trainer.py or random.py is not what is to be imported
    resource_tracker.ensure_running()  # it would be started with the other, and let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        del os.environ["PYTHONSAFEPATH"]
    return made


def warm_up() -> None:
    """Wait until the parent of the processes has imported what it has to."""
    process = context().Process()
    process.start()
    process.join()


def run_apart(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    command: Sequence[str],
    threads: int = 0,
    halt: Halt | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> int:
    """Train in a process of its own and wait for its end; its exit code, negative for a signal that killed it.

    Ctrl-C and SIGTERM are passed on: the job saves what it has. The third of them kills it. A job that is not wanted
    any more saves and ends, too.

    Raises:
        Stopped: a signal has come, or the job was not wanted any more, and has ended.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    process = context().Process(
        target=_work, args=(plain, folder, dict(names), list(command), threads, halt, dict(os.environ))
    )
    came: list[int] = []

    def pass_on(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if process.pid:
            _tell(process.pid, signal.SIGKILL if len(came) > 2 else signum)

    before = {number: signal.signal(number, pass_on) for number in STOPS}
    try:
        process.start()
        assert process.pid is not None
        for signum in came:  # while it was being started
            _tell(process.pid, signum)
        while process.is_alive():
            process.join(EVERY_S)
            if not came and not is_wanted():
                pass_on(signal.SIGTERM, None)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started goes with it
    except BaseException:  # such as that of submitit, when the time that a cluster gives a job is nearly up
        if process.pid:
            process.terminate()
            process.join()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise Stopped(came[0])
    assert process.exitcode is not None
    return process.exitcode


def _tell(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def _end_with_parent() -> None:
    """Be killed when the process that waits is, with whatever was started here, such as processes that read data."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _work(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    command: Sequence[str],
    threads: int,
    halt: Halt | None,
    environment: Mapping[str, str],
) -> None:
    """What the process does. The terminal is not its own: what it says is in its log."""
    os.environ.update(environment)  # a worker may be given another GPU for each job
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # with the process that it was forked from
    os.setpgid(0, 0)  # Ctrl-C reaches the process that waits, and that one alone
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = os.open(folder / "train.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(log, 2)
    logging.basicConfig(
        filename=folder / "train.log",
        encoding="utf-8",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    if threads:
        import torch

        torch.set_num_threads(threads)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        run_job(cfg, folder, names, command, *([halt] if halt else []))
    except DltrainError as error:
        sys.exit(error.code)
    except (Halted, Stopped) as stopped:
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
