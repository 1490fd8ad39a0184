"""The folder of a run: created for it alone, and written so that a kill leaves what can be read."""

from __future__ import annotations

import csv
import logging
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from trainer.errors import FileSystemError, RunFolderError, naming
from trainer.files import read_json, remove, replacing, write_json


class RunFolder:
    """The folder of a run and the names of the files in it, which nothing outside of `runs/` knows.

    `names` says what was chosen, such as model -> resnet, and `command` how; a run that starts records both.
    """

    def __init__(self, path: Path, names: Mapping[str, str] | None = None, command: Sequence[str] = ()) -> None:
        self.path, self.names, self.command = path, names or {}, command
        self.lock, self.log = path / ".lock", path / "train.log"
        self.environment, self.config = path / "environment.json", path / "config.yaml"
        self.metrics, self.summary = path / "metrics.csv", path / "summary.json"
        self.checkpoints, self.plots, self.tensorboard = path / "checkpoints", path / "plots", path / "tensorboard"
        self.weights = self.checkpoints / "best" / "model.safetensors"
        self.hydra = path / ".hydra"

    def begin(self, config: str, environment: dict[str, Any], resumes: bool) -> None:
        """Record what the run is and where; of one that resumes, where it does, and its end is no longer recorded.

        The config comes last: a run that has one has started, and can be resumed.
        """
        if not resumes:
            remove(self.tensorboard, self.metrics)  # of a run that ended before its first checkpoint
        remove(self.summary)
        first = read_json(self.environment)
        if first:
            environment = first | {"resumed": [*first.get("resumed", []), environment]}
        write_json(self.environment, environment)
        with replacing(self.config) as part:
            part.write_text(config, encoding="utf-8")

    def forget(self) -> None:
        """Delete a failed run's outputs so that it can start over. The log is kept."""
        remove(self.tensorboard, self.metrics, self.checkpoints, self.plots)
        remove(self.config, self.environment, self.summary)


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
    """Be the one process that writes in a folder, until the block or the process ends.

    Raises:
        RunFolderError: another process is; names it.
    """
    with naming(folder):
        file = RunFolder(folder).lock.open("a+", encoding="utf-8")
    with file:
        if not _locked(file, patience_s=0.1):
            owner = "another process"
            with suppress(OSError):  # on Windows nobody else may read a locked file
                file.seek(0)
                owner = file.read(200).strip() or owner
            raise RunFolderError(f"{folder.absolute()} is in use by {owner}")
        file.truncate(0)
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {platform.node()}, since {started}")
        file.flush()
        yield


def is_running(folder: Path) -> bool:
    """Whether a process holds the lock of a run; nothing is changed."""
    path = RunFolder(folder).lock
    with suppress(OSError), path.open("rb+" if os.access(path, os.W_OK) else "rb") as file:  # NFS locks the former
        return not _locked(file, patience_s=0.01)
    return False


def _locked(file: IO[Any], patience_s: float) -> bool:
    """Lock an open file until it is closed; false if somebody else holds the lock for longer than `is_running` does."""
    from filelock import lock_descriptor

    if lock_descriptor(file.fileno(), blocking=False):
        return True
    time.sleep(patience_s)
    return lock_descriptor(file.fileno(), blocking=False)


def log_to(folder: Path) -> None:
    """Append everything that is logged to train.log in a run's folder.

    Raises:
        FileSystemError: it cannot be opened.
    """
    path = RunFolder(folder).log
    with naming(path):
        logging.basicConfig(
            filename=path,
            encoding="utf-8",
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            force=True,  # in place of an earlier run's
        )
    logging.getLogger("dltrain").disabled = False  # Hydra's launchers disable the loggers that exist


class MetricsFile:
    """A CSV file with a row per epoch; the header is the keys of the first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, epoch: int) -> None:
        """Delete the rows after that epoch, and one that was not written to its end."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
        rows = [line for line in lines[1:] if int(line.split(",")[0]) <= epoch]
        if not rows:
            self.path.unlink()
            return
        with replacing(self.path) as part:
            part.write_text("".join([lines[0], *rows]), encoding="utf-8")

    def rows(self) -> list[dict[str, float]]:
        """Return all rows, a run's earlier parts included, up to the first that cannot be read."""
        rows: list[dict[str, float]] = []
        unreadable = (OSError, ValueError, TypeError, csv.Error)  # a kill may have left half a row
        with suppress(*unreadable), self.path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.append({str(key): float(value) for key, value in row.items()})
        return rows

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row, at once on disk for whoever reads along."""
        size = self.path.stat().st_size if self.path.exists() else 0
        rows: list[Iterable[Any]] = [row.values()] if size else [row.keys(), row.values()]
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        except OSError:
            with suppress(OSError):  # half a row would spoil the one that follows
                os.truncate(self.path, size)
            raise
