"""Jobs in subprocesses, several at a time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing import connection
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.errors import Stopped, stops
from trainer.sweeps.process import Task, exit_code, start, tell

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess  # Windows has none

EVERY_S = 0.5
Job = Generator[Task, int, None]  # yields what a subprocess trains, and is sent its exit code


class Workers(NamedTuple):
    """How a machine or cluster is divided among jobs."""

    at_once: int = 1  # jobs
    threads: int = 0  # per job; 0: torch's default
    gpus: Sequence[str] = ()  # assigned in turn; empty: each job sees what this process sees


class _Running(NamedTuple):
    number: int
    job: Job
    process: ForkServerProcess
    slot: int  # one of `at_once`


class Pool:
    """Runs jobs, `workers.at_once` at a time. Use as a context manager.

    In the main thread, signals are passed on, so that jobs save and stop; a second one does not let them finish their
    update, and a third kills them. Jobs that are no longer wanted are stopped the same way. Every method then raises
    `Stopped` once all jobs have ended, and each job receives it too.
    """

    def __init__(self, workers: Workers, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self.workers, self.is_wanted = workers, is_wanted
        self.slots, self.running, self.came = [*range(workers.at_once)], dict[Any, _Running](), list[int]()

    def __enter__(self) -> Pool:
        self.before = {number: signal.signal(number, self._stop) for number in stops()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self.running.values():  # after an error, such as submitit's when a job's time is nearly up
            running.process.terminate()
        for running in self.running.values():
            exit_code(running.process)
            running.job.close()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def submit(self, number: int, job: Job) -> None:
        """Start a job as soon as a slot is free."""
        self._run_while(lambda: not self.slots)
        if task := next(job, None):
            slot, gpus = self.slots.pop(0), self.workers.gpus if task.cfg.device in ("auto", "cuda") else ()
            process = start(task, self.workers.threads, gpus[slot % len(gpus)] if gpus else "")
            self.running[process.sentinel] = _Running(number, job, process, slot)
            for signum in self.came:  # that arrived during the start
                tell(process, signum)

    def wait(self, number: int) -> None:
        """Wait for the end of a job."""
        self._run_while(lambda: any(running.number == number for running in self.running.values()))

    def drain(self) -> None:
        """Wait for the end of all jobs."""
        self._run_while(lambda: bool(self.running))

    def _run_while(self, condition: Callable[[], bool]) -> None:
        while condition() or (self.came and self.running):
            for sentinel in connection.wait([*self.running], EVERY_S):
                self._end(self.running.pop(sentinel))
            if not self.came and not self.is_wanted():
                self._stop(signal.SIGTERM)
        if self.came:
            raise Stopped(self.came[0])

    def _end(self, ended: _Running) -> None:
        self.slots.append(ended.slot)
        code = exit_code(ended.process)
        with suppress(StopIteration, Stopped):
            ended.job.throw(Stopped(self.came[0])) if self.came else ended.job.send(code)

    def _stop(self, signum: int, _: FrameType | None = None) -> None:
        self.came.append(signum)
        for running in self.running.values():
            tell(running.process, signal.SIGKILL if len(self.came) > 2 else signum)
