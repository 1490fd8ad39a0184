"""The folder of a run: created for it alone, and what it says about where its numbers come from."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer.errors import FileSystemError, RunFolderError

PACKAGES = (
    "dltrain",
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "numpy",
    "pandas",
    "scikit-learn",
    "safetensors",
)


def create(folder: Path) -> Path:
    """Make a new folder of that name or, where it exists, of that name with the first free number behind it.

    Two processes never get the same one.

    Raises:
        FileSystemError: the folder cannot be made.
    """
    with _naming(folder):
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
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir())
    if found:
        raise RunFolderError(f"{folder.absolute()} is not empty ({', '.join(found[:3])}, ...); name a new folder")
    return folder


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the path in whatever the file system refuses."""
    try:
        yield
    except OSError as error:
        raise FileSystemError(f"{path.absolute()}: {error.strerror or error}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all. A number that JSON does not have (NaN, infinity) is written as text."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(part, path)


class MetricsFile:
    """A CSV file with a row an epoch; the header is the keys of the first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row, at once on disk for whoever reads along."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value


def environment(command: Sequence[str], device: str) -> dict[str, Any]:
    """Versions, machine, code and command, for `environment.json`."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(command),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "device": device,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": _git(Path.cwd()),
        "dltrain_git": _git(Path(__file__).parent),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit of a folder, and whether anything in its repository differs from that; none outside of a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
