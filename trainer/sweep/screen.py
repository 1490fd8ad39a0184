"""What is seen of a sweep while it runs: a line for each job that ends and, in a terminal, the best so far below."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from shlex import quote
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from trainer.sweep.leaderboard import leaderboard, table
from trainer.sweep.ledger import Event, Ledger

EVERY_S = 0.5


class Screen:
    """Follows the ledger, whoever writes to it. Use as a context manager."""

    def __init__(self, folder: Path, num_jobs: int) -> None:
        self.folder, self.num_jobs = folder, num_jobs
        self.console = Console(highlight=False, markup=False, soft_wrap=True)
        self.done = threading.Event()
        self.seen = len(Ledger(folder).events())  # of a sweep that goes on: they were shown
        self.live: Live | None = None

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self.live = Live(console=self.console, transient=True, auto_refresh=False)
            self.live.start()
        self.start = time.monotonic()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done.set()
        self.thread.join()
        self._show()
        if self.live:
            self.live.stop()
        left = self.num_jobs - sum(
            event["event"] in ("finished", "failed") for event in Ledger(self.folder).jobs().values()
        )
        if left:
            resume = quote(f"resume={self.folder}")
            print(f"stopped with {left} of {self.num_jobs} jobs to do; dltrain -m {resume} goes on")

    def _follow(self) -> None:
        while not self.done.wait(EVERY_S):
            self._show()

    def _show(self) -> None:
        ledger = Ledger(self.folder)
        events = ledger.events()
        jobs = ledger.jobs()
        for event in events[self.seen :]:
            if event["event"] in ("finished", "failed"):
                self.console.print(line(jobs[event["job"]], self.num_jobs))
        changed, self.seen = len(events) > self.seen, len(events)
        if self.live and (changed or self.live.renderable is None):
            running = [f"job {n}  {' '.join(e['overrides'])}" for n, e in jobs.items() if e["event"] == "started"]
            self.live.update(
                Group(table(leaderboard(self.folder)), Text("running  " + "; ".join(running))), refresh=True
            )


def line(job: Event, num_jobs: int) -> str:
    """How a job has ended, in a line."""
    result = f"{job['metric']} {job['objective']:.5g}" if job["event"] == "finished" else job.get("error", "")
    what = " ".join(job["overrides"])
    return f"job {job['job'] + 1}/{num_jobs}  {job['event']}  {job['seconds']:.1f} s  {what}  {result}"


def duration(seconds: float) -> str:
    """As a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
