"""Hydra's launcher in a process, and a group of processes, of its own.

Ctrl-C in a terminal reaches the process that began the sweep, and that one alone: the launchers would kill the jobs.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig

from trainer.errors import Stopped, SweepError
from trainer.launchers import use_presets
from trainer.start import launch
from trainer.sweep.workers import want_no_more

EVERY_S = 0.1
LOG = "launcher.log"


def launch_apart(arguments: list[str], task: Callable[[DictConfig], Any], folder: Path) -> None:
    """As `launch`, in a process of its own. The first Ctrl-C or SIGTERM has all jobs save and stop, the second leaves.

    Raises:
        Stopped: a signal has come.
        SweepError: the launcher has failed.
    """
    came: list[int] = []

    def stop(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            want_no_more(folder)

    code = f"import sys; sys.path[:] = {sys.path}; from trainer.sweep.launcher import _launch; _launch()"
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (folder / LOG).open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        assert process.stdin is not None  # it stays open: its end tells that this process has ended
        process.stdin.write(pickle.dumps((arguments, task)))
        process.stdin.flush()
        has_said = False
        while process.poll() is None and len(came) < 2:
            time.sleep(EVERY_S)
            if came and not has_said:
                print("stopping: the jobs that run are saved; once more leaves at once", flush=True)
                has_said = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise Stopped(came[0])
    if process.returncode:
        raise SweepError(f"the launcher has failed, {folder / LOG} says why; dltrain -m resume={folder} goes on")


def _launch() -> None:
    """What the process does: it ends with the one that began the sweep."""
    arguments, task = pickle.load(sys.stdin.buffer)

    def follow() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    use_presets()
    launch(arguments, task)
