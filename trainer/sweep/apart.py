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
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from trainer.errors import DltrainError, Stopped
from trainer.job import run_job

PRELOAD = [  # what most jobs import
    "trainer.train",
    "torch._dynamo",
    "sklearn.datasets",
    "sklearn.linear_model",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "trainer.view.board.writing",
]
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def context() -> ForkServerContext:
    """The processes' parent is begun with the first of them, unless it has been before."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOAD)
    return made


def begin() -> None:
    """Begin the processes' parent, which imports for seconds, while there is something else to do."""
    context()
    forkserver.ensure_running()


def run_apart(cfg: DictConfig, folder: Path, names: Mapping[str, str], command: Sequence[str], threads: int = 0) -> int:
    """Train in a process of its own and wait for its end; its exit code, negative for a signal that killed it.

    Ctrl-C and SIGTERM are passed on, once each: the job saves what it has.

    Raises:
        Stopped: a signal has come, and the job has ended.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    process = context().Process(target=_work, args=(plain, folder, dict(names), list(command), threads))
    came: list[int] = []

    def pass_on(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if process.pid and process.is_alive():
            os.kill(process.pid, signum)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.start()
        process.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise Stopped(came[0])
    assert process.exitcode is not None
    return process.exitcode


def _work(cfg: DictConfig, folder: Path, names: Mapping[str, str], command: Sequence[str], threads: int) -> None:
    """What the process does. The terminal is not its own: what it says is in its log."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)  # Ctrl-C reaches the process that waits, and that one alone
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
        run_job(cfg, folder, names, command)
    except DltrainError as error:
        sys.exit(error.code)
    except Stopped as stopped:
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
