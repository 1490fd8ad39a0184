"""The folder of a run: created for it alone, and written so that a kill leaves what can be read."""

from __future__ import annotations

import csv
import fcntl
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, NamedTuple

from trainer.errors import FileSystemError, RunFolderError, naming
from trainer.files import read_json, remove, replacing, write_json


class RunFolder(NamedTuple):
    """The folder of a run, and what is recorded there of how it was chosen."""

    path: Path
    names: Mapping[str, str]  # such as model -> resnet
    command: Sequence[str] = ()


def create(folder: Path) -> Path:
    """Make a new folder of that name or, where it exists, of that name with the first free number behind it.

    Two processes never get the same one.

    Raises:
        FileSystemError: the folder cannot be made.
    """
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
            try:
                candidate.mkdir()
            except FileExistsError:
                continue
            return candidate
    raise FileSystemError(f"{folder}: ten thousand folders of this name exist")


def claim(folder: Path) -> Path:
    """Make, or take if it is empty, a folder that the user named.

    Raises:
        RunFolderError: there is something in it.
        FileSystemError: it cannot be made.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir())
    if found:
        raise RunFolderError(
            f"{folder.absolute()} is not empty ({', '.join(found[:3])}, ...); name a new folder, "
            f"or go on with a run there: resume={folder}"
        )
    return folder


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Be the one process that writes in a run's folder; the end of a process, however it comes, gives it up.

    Raises:
        RunFolderError: another process is; names it.
    """
    with naming(folder):
        file = (folder / ".lock").open("a+", encoding="utf-8")
    with file:
        try:
            _take(file)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read(200).strip() or "another process"
            raise RunFolderError(f"{folder.absolute()} is in use by {owner}") from error
        file.truncate(0)
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {platform.node()}, since {started}")
        file.flush()
        yield


def _take(file: IO[str]) -> None:
    """Lock it. Who looks whether a run is in progress holds the lock for an instant, and is waited for."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def forget_logs(folder: Path) -> None:
    """Take away what a run has logged that ended before its first checkpoint, and starts again."""
    for name in ("tensorboard", "metrics.csv"):
        remove(folder / name)


def forget(folder: Path) -> None:
    """Take away what a run that failed has come to, so that it can be begun again. Its log is gone on with."""
    forget_logs(folder)
    for name in ("checkpoints", "plots", "config.yaml", "environment.json", "summary.json"):
        remove(folder / name)


def begin(folder: Path, config: str, environment: dict[str, Any]) -> None:
    """Note down what a run is, and where; of one that goes on, where it does.

    The config is the last: where it is, a run has begun that can be gone on with. What was said of its end is no more.
    """
    (folder / "summary.json").unlink(missing_ok=True)
    first = read_json(folder / "environment.json")
    if first:
        environment = first | {"resumed": [*first.get("resumed", []), environment]}
    write_json(folder / "environment.json", environment)
    with replacing(folder / "config.yaml") as part:
        part.write_text(config, encoding="utf-8")


class MetricsFile:
    """A CSV file with a row an epoch; the header is the keys of the first."""

    def __init__(self, path: Path) -> None:
        self.path, self.has_header = path, path.exists()

    def cut(self, epoch: int) -> None:
        """Take away the rows after that epoch, and one that was not written to its end."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
        rows = [line for line in lines[1:] if int(line.split(",")[0]) <= epoch]
        if rows:
            with replacing(self.path) as part:
                part.write_text("".join([lines[0], *rows]), encoding="utf-8")
        else:
            self.path.unlink()
            self.has_header = False

    def rows(self) -> list[dict[str, float]]:
        """All rows, a run's earlier parts included, up to the first that cannot be read."""
        rows: list[dict[str, float]] = []
        unreadable = (OSError, ValueError, TypeError, csv.Error)  # a kill may have left half a row
        with suppress(*unreadable), self.path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.append({str(key): float(value) for key, value in row.items()})
        return rows

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row, at once on disk for whoever reads along."""
        rows: list[Iterable[Any]] = [row.values()] if self.has_header else [row.keys(), row.values()]
        size = self.path.stat().st_size if self.has_header else 0
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        except OSError:
            with suppress(OSError):  # half a row would spoil the one that follows
                os.truncate(self.path, size)
            raise
        self.has_header = True
