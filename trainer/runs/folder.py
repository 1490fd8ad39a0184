"""The folder of a run: created for it alone, and readable whenever the run is killed."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from trainer.errors import FileSystemError, RunFolderError, naming, printable
from trainer.files import read, read_json, regular, remove, write_json, write_text


class Inside:
    """The path of a file or folder in the folder of a run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: RunFolder, _: type) -> Path:
        return run.path / self.name


class RunFolder:
    """The folder of a run and the names of its files, which nothing outside `runs/` knows.

    `names` maps slots to the chosen options, such as model -> resnet; a run that starts records it, `command`, and the
    files of `.hydra`, which `hydra` maps to their text.
    """

    lock = Inside(".lock")
    log = Inside("train.log")
    hydra = Inside(".hydra")
    environment = Inside("environment.json")
    config = Inside("config.yaml")
    metrics = Inside("metrics.csv")
    summary = Inside("summary.json")
    tested = Inside("test.safetensors")
    checkpoints = Inside("checkpoints")
    weights = Inside("checkpoints/best/model.safetensors")
    tensorboard = Inside("tensorboard")
    plots = Inside("plots")

    def __init__(
        self,
        path: Path,
        names: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        hydra: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.names, self.command, self.has_begun = path, names or {}, command, False
        self.of_hydra: Mapping[str, str] = hydra or {}
        self.held: _Held | None = None

    def hold_log(self) -> None:
        """Keep in memory what is logged from now on, until `open`."""
        self.held = _Held()
        logging.basicConfig(handlers=[self.held], level=logging.INFO, force=True)  # replaces an earlier run's
        logging.getLogger("dltrain").disabled = False  # Hydra's launchers disable the loggers that exist

    def open(self) -> None:
        """Write `.hydra`, and in train.log what is logged and was held; a second call changes nothing.

        Raises:
            FileSystemError: they cannot be written.
        """
        if self.held:
            with naming(self.log):
                self.held.write_to(self.log)
            self.held = None
        with naming(self.hydra):
            for name, text in self.of_hydra.items():
                self.hydra.mkdir(exist_ok=True)
                write_text(self.hydra / name, text)
        self.of_hydra = {}

    def begin(self, config: str, environment: dict[str, Any], resumes: bool) -> None:
        """Record the config and environment of a run that starts; one that resumes adds its environment.

        The summary is deleted, as the run is no longer at its end. The config is written last: a run that has one has
        started, and can be resumed.
        """
        self.has_begun = True
        if not resumes:
            remove(self.tensorboard, self.metrics)  # left by a run that ended before its first checkpoint
        remove(self.summary)
        first = read_json(self.environment)
        if first:
            environment = first | {"resumed": [*first.get("resumed", []), environment]}
        write_json(self.environment, environment)
        write_text(self.config, config)

    def forget(self) -> None:
        """Delete a failed run's outputs so that it can start over. The log is kept."""
        remove(self.tensorboard, self.metrics, self.checkpoints, self.plots)
        remove(self.config, self.environment, self.summary, self.tested)


def create(folder: Path) -> Path:
    """Create a folder of that name or, if it exists, with the first free number appended.

    Two processes never get the same one.

    Raises:
        FileSystemError: the folder cannot be created.
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
    raise FileSystemError(f"{folder}: 10,000 folders of this name exist; choose another name")


def claim(folder: Path) -> Path:
    """Create a folder that the user named, or take it if it is empty.

    Raises:
        RunFolderError: it is not empty.
        FileSystemError: it cannot be created.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir())
    if found:
        raise RunFolderError(
            f"{folder.absolute()} is not empty ({', '.join(found[:3])}, ...); name a new folder, "
            f"or resume the run in it: resume={folder}"
        )
    return folder


class _Held(MemoryHandler):
    """Keeps records until there is a file to append them to, and then appends each at once."""

    def __init__(self) -> None:
        super().__init__(capacity=1)

    def write_to(self, path: Path) -> None:
        file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
        file.setFormatter(_Printable("%(asctime)s %(levelname)s %(message)s"))
        self.setTarget(file)
        self.flush()

    def close(self) -> None:
        file = self.target
        super().close()
        if file:
            file.close()


class _Printable(logging.Formatter):
    """Shows the control characters that names in files may hold."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _LogFile(logging.FileHandler):
    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=regular)


class MetricsFile:
    """A CSV file with a row per epoch; the first row's keys are the header."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, epoch: int) -> None:
        """Delete the rows after that epoch, and an incomplete last one."""
        if not self.path.exists():
            return
        lines = [line for line in read(self.path, most=2**30).decode().splitlines(keepends=True) if line[-1] == "\n"]
        rows = [line for line in lines[1:] if int(line.split(",")[0]) <= epoch]
        if not rows:
            self.path.unlink()
            return
        write_text(self.path, "".join([lines[0], *rows]))

    def rows(self) -> list[dict[str, float]]:
        """Return all rows, including those before a resumption, up to the first unreadable one."""
        rows: list[dict[str, float]] = []
        unreadable = (OSError, ValueError, TypeError, csv.Error)  # a kill may have left half a row
        with suppress(*unreadable), open(self.path, newline="", encoding="utf-8", opener=regular) as file:
            for row in csv.DictReader(file):
                rows.append({str(key): float(value) for key, value in row.items()})
        return rows

    def append(self, row: Mapping[str, float]) -> None:
        """Append a row, and write it at once."""
        size = self.path.stat().st_size if self.path.exists() else 0
        rows: list[Iterable[Any]] = [row.values()] if size else [row.keys(), row.values()]
        try:
            with open(self.path, "a", newline="", encoding="utf-8", opener=regular) as file:
                csv.writer(file).writerows(rows)
        except OSError:
            with suppress(OSError):  # half a row would corrupt the next one
                os.truncate(self.path, size)
            raise
