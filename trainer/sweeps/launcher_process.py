"""Run a Hydra launcher in a process of its own, and tell its workers when to stop.

Ctrl-C in a terminal reaches only the process that started the sweep, because the launchers would kill the jobs. That
process then marks the sweep's lock file. A worker checks the file while its job runs, and makes the job save and stop.
So a sweep ends the same way under every launcher and on every machine, even if the process was killed: its lock is then
free.
"""

import multiprocessing
import os
import platform
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from pathlib import Path
from types import FrameType

from trainer.errors import Stopped, SweepError, stops
from trainer.files import read, regular
from trainer.runs.folder import RunFolder
from trainer.runs.lock import is_running
from trainer.sweeps.process import without_main

STOPS = ", stopping"  # appended to the owner's lock
EVERY_S, PATIENCE_S = 0.1, 30
LOG = "launcher.log"


def owner(folder: Path) -> str:
    """Return who locked the folder of a sweep, and since when."""
    return read(RunFolder(folder).lock).decode(errors="replace")


def is_wanted(folder: Path, began: str) -> bool:
    """Return whether the owner still wants results. From another machine only the lock file can be read."""
    return owner(folder) == began and (f" on {platform.node()}, " not in began or is_running(folder))


@contextmanager
def launcher_process(folder: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that has the process do something, and waits until it is done.

    The first Ctrl-C or SIGTERM has all jobs save and stop, the second leaves.

    Raises:
        Stopped: a signal came.
        SweepError: the launcher failed.
    """
    came: list[int] = []

    def stop(signum: int, _: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            with open(RunFolder(folder).lock, "a", encoding="utf-8", opener=regular) as file:
                file.write(STOPS)

    made = multiprocessing.get_context("spawn")
    ours, theirs = made.Pipe()
    process = made.Process(target=_serve, args=(theirs, str(folder / LOG)))
    before = {number: signal.signal(number, stop) for number in stops()}

    def call(task: Callable[[], None]) -> None:
        is_done = False
        with suppress(EOFError, ConnectionError):
            ours.send(task)
            has_said = False
            while len(came) < 2 and not ours.poll(EVERY_S):
                if came and not has_said:
                    print("stopping: running jobs save first; press again to leave at once", flush=True)
                    has_said = True
            is_done = len(came) < 2 and ours.recv()
        if came:
            raise Stopped(came[0])
        if not is_done:
            cure = f"dltrain -m {shlex.quote(f'resume={folder}')} resumes the sweep"
            raise SweepError(f"the launcher failed, {folder / LOG} says why; {cure}")

    try:
        without_main(process)
        theirs.close()
        yield call
        ours.close()
        process.join(PATIENCE_S)
    finally:
        process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(tasks: connection.Connection, log: str) -> None:
    """Run each function received, until there are no more; end with the process that started the sweep."""
    os.setsid()
    file = regular(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    parent = multiprocessing.parent_process()
    assert parent

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    with suppress(EOFError):
        while True:
            tasks.recv()()
            tasks.send(True)
