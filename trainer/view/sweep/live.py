"""A running sweep on the screen: a line for each job that ends and, in a terminal, the best so far below."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from shlex import quote

from rich.live import Live
from rich.text import Text

from trainer.config.keys import bare
from trainer.runs.leaderboard import leaderboard
from trainer.runs.ledger import ENDED, Event, Ledger
from trainer.view.sweep.table import tables
from trainer.view.sweep.text import one_line, progress
from trainer.view.table import say
from trainer.view.terminal import Terminal
from trainer.view.words import cut, duration, number

EVERY_S = 0.5
SHARE = 0.01  # of a core, at most, spent here
MOST_ROWS, MOST_RUNNING = 10, 8
WIDEST = 100  # characters of an error; the end of the sweep shows all of it


class Screen:
    """A context manager that follows the ledger, whoever writes to it."""

    def __init__(self, folder: Path, num_jobs: int) -> None:
        self.folder, self.num_jobs, self.ledger = folder, num_jobs, Ledger(folder)
        self.over = threading.Event()
        self.jobs, self.rungs = self.ledger.jobs(), self.ledger.rungs()
        self.board = leaderboard(folder)
        self.size = self._size()
        self.before = self._num_ended()  # in earlier processes
        self.constant = {bare(word) for word in self.ledger.header().get("command", [])}
        self.live: Live | None = None

    def __enter__(self) -> Screen:
        self.start = time.monotonic()
        console = Terminal()
        if console.is_terminal and not console.is_dumb_terminal:
            self.live = Live(console=console, transient=True, auto_refresh=False)
            self.live.start()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._show()
        if self.live:
            self.live.stop()
        if left := self.num_jobs - self._num_ended():
            resume = quote(f"resume={self.folder}")
            print(f"stopped with {left} of {self.num_jobs} jobs to do; continue with dltrain -m {resume}")

    def _follow(self) -> None:
        wait = EVERY_S
        while not self.over.wait(wait):
            before = time.thread_time()
            self._show()
            wait = max(EVERY_S, (time.thread_time() - before) / SHARE)

    def _show(self) -> None:
        if (size := self._size()) != self.size:
            self.size, known = size, self.jobs
            self.jobs, self.board = self.ledger.jobs(), leaderboard(self.folder)
            new = [event for job, event in self.jobs.items() if event["time"] != known.get(job, {}).get("time")]
            ended = [event for event in new if event["event"] in ENDED]
            for place, event in enumerate(ended, self._num_ended() - len(ended) + 1):
                self._say(f"[{place}/{self.num_jobs}]  {self._line(event)}")
            rungs, self.rungs = self.rungs, self.ledger.rungs()
            for rung in self.rungs[len(rungs) :]:
                kept = f"{rung['kept']} of {rung['configurations']} configurations continue"
                self._say(f"rung  after epoch {rung['epoch']}  {kept}")
        if self.live:
            self.live.update(Text.from_ansi("\n".join(self._below())), refresh=True)

    def _below(self) -> list[str]:
        """Return the best rows, the progress and the running jobs, as many as fit in the terminal."""
        assert self.live
        width, height = self.live.console.size
        running = [event for event in self.jobs.values() if event["event"] == "started"]
        most, now, jobs = max(1, min(MOST_RUNNING, height // 4)), datetime.now(timezone.utc), []
        for event in running[:most]:
            age = duration((now - datetime.fromisoformat(event["time"])).total_seconds())
            jobs.append(f"running  {self._what(event)}  {age}")
        if len(running) > most:
            jobs.append(f"and {len(running) - most} more")
        most_rows = max(1, min(MOST_ROWS, height - len(jobs) - 9))
        best = tables(self.board, width, self.live.console.color_system is not None, most_rows)
        return [*best, "", *(text[:width] for text in [f"{progress(self.board)}{self._time_left()}", *jobs])]

    def _time_left(self) -> str:
        """Estimate the rest from the jobs that this process has seen end."""
        ended, left = self._num_ended() - self.before, self.num_jobs - self._num_ended()
        seconds = (time.monotonic() - self.start) / ended * left if ended else 0
        return f"; about {duration(seconds)} left" if seconds else ""

    def _size(self) -> int:
        return self.ledger.path.stat().st_size if self.ledger.path.exists() else 0

    def _num_ended(self) -> int:
        return sum(event["event"] in ENDED for event in self.jobs.values())

    def _say(self, text: str) -> None:
        if self.live:
            self.live.console.print(text, soft_wrap=True)
            return
        with suppress(BrokenPipeError):  # the reader, such as `head`, is gone; the jobs continue
            say(text)
            sys.stdout.flush()

    def _line(self, job: Event) -> str:
        result = cut(one_line(str(job.get("error", ""))), WIDEST)
        if job["event"] != "failed":
            result = f"{job['metric']} {number(job['objective'])}"
        ended = f"pruned after epoch {job['epoch']}" if job["event"] == "pruned" else job["event"]
        seconds = f"  {duration(job['seconds'])}" if "seconds" in job else ""
        return f"{self._what(job)}  {ended}{seconds}  {result}"

    def _what(self, job: Event) -> str:
        """Return a job's number, which names its folder, and the overrides that not every job has."""
        overrides = (line for line in map(bare, job["overrides"]) if line not in self.constant)
        return f"job {job['job']}  {' '.join(overrides)}"
