"""What has become of each job of a sweep: a line of JSON for each event, added to and never changed.

    {"event": "sweep", "command": [...], "samples": {...}, "jobs": 4, "values": {"optim.lr": ["0.1", "0.01"], ...}}
    {"event": "preflight", "seconds": 240.0, "metric": "accuracy", "higher_is_better": true, "time": ...}
    {"event": "resumed", "command": [...], "jobs": 4, "time": ...}
    {"event": "rung", "epoch": 2, "configurations": 8, "kept": 4, "time": ...}
    {"event": "started", "job": 3, "overrides": [...], "hash": ..., "time": ...}
    {"event": "finished", "job": 3, "overrides": [...], "objective": 0.97, "seconds": 12.3, ...}

A line is written at once, so that processes do not mix; one that a kill has cut off is none.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from trainer.errors import naming

FILE = "sweep.jsonl"  # in the folder of a sweep
ENDED = ("finished", "failed", "pruned")  # these are not run again, unless failed ones are asked for
Event = dict[str, Any]


class Outlook(NamedTuple):
    """What the preflight tells of a sweep."""

    seconds: float  # that a job may take, on average
    metric: str  # that ranks them
    higher_is_better: bool


class Ledger:
    """The file of events in the folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def append(self, event: str, **about: Any) -> None:
        """Note an event.

        Raises:
            FileSystemError: it cannot be written.
        """
        about = {"event": event, **about, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        line = json.dumps(about).encode() + b"\n"
        with naming(self.path), self.path.open("ab+", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                line = b"\n" + line  # a kill has cut off the line before
            while line:  # a disk that is nearly full takes a part, and refuses the rest
                line = line[file.write(line) :]
            os.fsync(file.fileno())

    def events(self) -> list[Event]:
        """All that can be read, in their order."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                found.append(event)
        return found

    def header(self) -> Event:
        """How the sweep was begun; empty where nothing says so."""
        return next((event for event in self.events() if event["event"] == "sweep"), {})

    def num_jobs(self) -> int:
        """Of the whole sweep; a search may be gone on with to more than it was begun with."""
        told = [event["jobs"] for event in self.events() if event["event"] in ("sweep", "resumed") and "jobs" in event]
        return told[-1] if told else len(self.jobs())

    def outlook(self) -> Outlook | None:
        """What the preflight has found, if it came to its end."""
        found = [event for event in self.events() if event["event"] == "preflight"]
        return Outlook(*(found[-1][name] for name in Outlook._fields)) if found else None

    def has_failed(self) -> bool:
        """Whether a job has failed since the sweep was begun or, if it was, gone on with."""
        failed = False
        for event in self.events():
            failed = event["event"] == "failed" or (failed and event["event"] != "resumed")
        return failed

    def rungs(self) -> list[Event]:
        """Those that the jobs of a pruned sweep have passed."""
        return [event for event in self.events() if event["event"] == "rung"]

    def jobs(self) -> dict[int, Event]:
        """Number of each job that was begun -> the last that happened to it, its folder and its overrides included."""
        found: dict[int, Event] = {}
        for event in self.events():
            if isinstance(event.get("job"), int):
                found[event["job"]] = {**found.get(event["job"], {}), **event}
        return dict(sorted(found.items()))
