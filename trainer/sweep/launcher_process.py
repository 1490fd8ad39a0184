"""Hydra's launcher in a process, and a group of processes, of its own.

Ctrl-C in a terminal reaches the process that began the sweep, and that one alone: the launchers would kill the jobs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import FrameType

from trainer.errors import Stopped, SweepError
from trainer.sweep.workers import want_no_more

EVERY_S, PATIENCE_S = 0.1, 30
LOG = "launcher.log"
CODE = "import sys; sys.path[:] = {path}; from trainer.sweep.launcher_process import _serve; _serve({handle})"


@contextmanager
def launcher_process(folder: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Gives a function that has the process do something, and waits for its end.

    The first Ctrl-C or SIGTERM has all jobs save and stop, the second leaves.

    Raises:
        Stopped: a signal has come.
        SweepError: the launcher has failed.
    """
    came: list[int] = []

    def stop(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            want_no_more(folder)

    ours, theirs = Pipe()
    code = CODE.format(path=sys.path, handle=theirs.fileno())
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (folder / LOG).open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,  # its end tells that this process has ended
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        theirs.close()

        def call(task: Callable[[], None]) -> None:
            is_done = _do(ours, task, came)
            if came:
                raise Stopped(came[0])
            if not is_done:
                goes_on = f"dltrain -m {shlex.quote(f'resume={folder}')} goes on"
                raise SweepError(f"the launcher has failed, {folder / LOG} says why; {goes_on}")

        yield call
        ours.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
    finally:
        if process.stdin:
            process.stdin.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _do(process: Connection, task: Callable[[], None], came: list[int]) -> bool:
    """Whether the task has been done; else two signals have come, or the process has ended."""
    has_said = False
    with suppress(EOFError, ConnectionError):
        process.send(task)
        while not process.poll(EVERY_S):
            if len(came) > 1:
                return False
            if came and not has_said:
                print("stopping: the jobs that run are saved; once more leaves at once", flush=True)
                has_said = True
        process.recv()
        return True
    return False


def _serve(handle: int) -> None:
    """What the process does, until nothing more is wanted; it ends with the one that began the sweep."""
    tasks = Connection(handle)

    def follow() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    with suppress(EOFError):
        while True:
            tasks.recv()()
            tasks.send(True)
