"""Record what happens to each job of a sweep: an append-only file with a line of JSON per event.

    {"event": "sweep", "command": [...], "samples": {...}, "jobs": 4, "values": {"optim.lr": ["0.1", "0.01"], ...}}
    {"event": "preflight", "seconds": 240.0, "metric": "accuracy", "higher_is_better": true, "time": ...}
    {"event": "resumed", "command": [...], "jobs": 4, "time": ...}
    {"event": "rung", "epoch": 2, "configurations": 8, "kept": 4, "time": ...}
    {"event": "started", "job": 3, "overrides": [...], "hash": ..., "time": ...}
    {"event": "finished", "job": 3, "overrides": [...], "objective": 0.97, "seconds": 12.3, ...}

Each line is a single write, so that lines of several processes do not mix; an incomplete one is ignored.
"""

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from trainer.errors import CheckpointError, naming
from trainer.files import read, regular
from trainer.metrics.names import Meaning
from trainer.runs import records
from trainer.runs.run import Run

FILE = "sweep.jsonl"  # in the folder of a sweep
OF_JOBS = ("started", "interrupted", "paused", "finished", "failed", "pruned")
ENDED = ("finished", "failed", "pruned")  # not run again, except failed jobs with sweep.retry
Event = dict[str, Any]


class Outlook(NamedTuple):
    """What the preflight measured."""

    seconds: float  # estimated per job
    metric: str  # that ranks the jobs
    higher_is_better: bool


def meaning_of(folder: Path) -> Meaning:
    """Return what names of metrics stand for in a run, or in its sweep if it has not started yet."""
    run = Run(folder)
    return run.meaning if run.environment else Ledger(folder.parent).meaning


class Ledger:
    """The file of events in the folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def append(self, event: str, **about: Any) -> None:
        """Append an event.

        Raises:
            FileSystemError: it cannot be written.
        """
        about = {"event": event, **about, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        line = json.dumps(about).encode() + b"\n"
        with naming(self.path), open(self.path, "ab+", buffering=0, opener=regular) as file:
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                line = b"\n" + line  # the previous line was cut off by a kill
            while line:  # a disk that is nearly full writes a part, and then raises
                line = line[file.write(line) :]
            os.fsync(file.fileno())

    def events(self) -> list[Event]:
        """Return all readable events, in order."""
        return self._read()[0]

    def num_damaged(self) -> int:
        """Return the number of lines that hold no event; the last one may be incomplete after a kill."""
        return self._read()[1]

    def _read(self) -> tuple[list[Event], int]:
        if not self.path.exists():
            return [], 0
        lines = read(self.path, most=2**28).split(b"\n")
        events = [_event(line) for line in lines if line]
        return [event for event in events if event], events[: len(events) - bool(lines[-1])].count(None)

    def _events_of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events() if event["event"] in kinds]

    def header(self) -> Event:
        """Return how the sweep was started, empty if that is not recorded."""
        return next(iter(self._events_of("sweep")), {})

    @property
    def meaning(self) -> Meaning:
        """What names of metrics stand for in the jobs of this sweep."""
        return Meaning.of(self.header())

    def num_jobs(self) -> int:
        """Return the number of jobs of the whole sweep; resuming a search may add some."""
        recorded = [event["jobs"] for event in self._events_of("sweep", "resumed") if "jobs" in event]
        return recorded[-1] if recorded else len(self.jobs())

    def outlook(self) -> Outlook | None:
        """Return the result of the preflight, if it finished."""
        found = self._events_of("preflight")
        if not found:
            return None
        outlook = Outlook(*(found[-1][name] for name in Outlook._fields))
        return outlook._replace(metric=self.meaning.f1) if outlook.metric == "f1" else outlook

    def has_failed(self) -> bool:
        """Whether a job has failed since the sweep was last started or resumed."""
        return [event["event"] for event in self._events_of("failed", "resumed")][-1:] == ["failed"]

    def rungs(self) -> list[Event]:
        """Return the rungs that the jobs of a pruned sweep have passed."""
        return self._events_of("rung")

    def jobs(self) -> dict[int, Event]:
        """Map each job that was started to its last event, with its folder and overrides.

        Where the line of the start is damaged, the overrides are those in the folder of the job.
        """
        found: dict[int, Event] = {}
        for event in self._events_of(*OF_JOBS):
            found[event["job"]] = {**found.get(event["job"], {}), **event}
        for number, job in [*found.items()]:
            job["folder"] = str(number)
            if "overrides" not in job:
                try:
                    job["overrides"] = Run(self.path.parent / job["folder"]).overrides
                except CheckpointError:
                    del found[number]
        return dict(sorted(found.items()))


def _event(line: bytes) -> Event | None:
    """Return the event in a line, or None if it is damaged."""
    try:
        content = json.loads(line)
        event = records.believed(content, records.EVENT) if isinstance(content, dict) else {}
    except (ValueError, RecursionError):
        return None
    needed = records.NEEDED.get(event.get("event", ""))
    if needed is None or not {*needed, "time"} <= event.keys():
        return None
    return event | {name: float(event[name]) for name in ("objective", "seconds") if name in event}
