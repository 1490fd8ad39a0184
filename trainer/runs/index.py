"""Which runs there are, in which order they were begun, and how they stand. Nothing here imports torch."""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from trainer.errors import CheckpointError
from trainer.runs.folder import read_json

ROOT = Path("outputs")
STATES = ("finished", "running", "interrupted", "pruned", "failed", "damaged")


class Run(NamedTuple):
    """A run, as its folder says; what is not there yet, or cannot be read, is empty."""

    folder: Path
    begun: datetime
    state: str  # one of STATES
    environment: dict[str, Any]
    summary: dict[str, Any]

    @property
    def names(self) -> dict[str, Any]:
        """What was chosen, such as model -> resnet."""
        return _dict(self.environment, "names") or _dict(self.summary, "names")

    @property
    def seconds(self) -> float | None:
        """Of training."""
        return _number(self.summary.get("train_s"))

    def metrics(self, split: str) -> dict[str, float]:
        """Those of `best` (validation, in the best epoch), or of `test`."""
        found = {name: _number(value) for name, value in _dict(self.summary, split).items()}
        return {name: value for name, value in found.items() if value is not None}

    def metric(self, split: str, name: str | None = None) -> float | None:
        """One of them, if it was measured: the monitored one, or that of a name."""
        return self.metrics(split).get(name or str(self.summary.get("monitor")))


def _number(value: Any) -> float | None:
    """As `trainer.runs.folder.write_json` wrote it."""
    return float(value) if isinstance(value, (int, float)) or value in ("nan", "inf", "-inf") else None


def _dict(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def every(root: Path = ROOT) -> list[Run]:
    """All runs below a folder, those included that ended before they began to train; of sweeps none. Oldest first."""
    return _looked_at(root.glob("[0-9]*/*"))


def every_job(sweep: Path) -> list[Run]:
    """The same of a sweep's jobs."""
    return _looked_at(sweep.glob("*"))


def _looked_at(folders: Iterable[Path]) -> list[Run]:
    return sorted(filter(None, map(look, folders)), key=lambda run: (run.begun, str(run.folder)))


def look(folder: Path) -> Run | None:
    """The run in a folder, if there is one."""
    environment, summary = _content(folder / "environment.json"), _content(folder / "summary.json")
    if environment is None and summary is None and not (folder / ".lock").exists():
        return None
    try:
        begun = datetime.fromisoformat((environment or {})["time"]).astimezone()
    except (KeyError, TypeError, ValueError):
        begun = datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
    return Run(folder, begun, _state(folder, environment, summary), environment or {}, summary or {})


def _state(folder: Path, environment: dict[str, Any] | None, summary: dict[str, Any] | None) -> str:
    if is_running(folder):
        return "running"
    if {} in (environment, summary):
        return "damaged"
    if summary is None:
        return "interrupted"  # killed: it could not say so
    return summary["status"] if summary.get("status") in STATES else "damaged"


def _content(path: Path) -> dict[str, Any] | None:
    """Of a JSON file, empty where it cannot be read; nothing where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_running(folder: Path) -> bool:
    """Whether a process holds the lock of a run, which `trainer.runs.folder.lock` gives; nothing is changed."""
    try:
        with (folder / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the end of the block gives it back
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def begun(root: Path = ROOT) -> list[Path]:
    """All runs below a folder, in the order in which they were begun; the jobs of sweeps are none of them."""
    return _in_order(root.glob("[0-9]*/*/environment.json"))


def jobs(sweep: Path) -> list[Path]:
    """The runs of a sweep, in the order in which they were begun."""
    return _in_order(sweep.glob("*/environment.json"))


def begun_in(sweep: Path) -> list[Path]:
    """The jobs that have begun to train."""
    return [job for job in jobs(sweep) if (job / "config.yaml").is_file()]


def _in_order(files: Any) -> list[Path]:
    times = {file.parent: str(read_json(file).get("time", "")) for file in files}
    return sorted(times, key=lambda folder: (times[folder], str(folder)))


def sweeps(root: Path = ROOT) -> list[Path]:
    """All sweeps below a folder, oldest first."""
    begun = {file.parent.parent for file in root.glob("sweeps/*/*/*/environment.json")}
    return sorted(begun | {file.parent for file in root.glob("sweeps/*/*/sweep.jsonl")})


def find_sweep(name: str, root: Path = ROOT, key: str = "sweep") -> Path:
    """The folder of a sweep: of that path, or `last` the newest below `root`.

    Raises:
        CheckpointError: there is none.
    """
    folder, known = Path(name).expanduser(), sweeps(root)
    if name == "last" and known:
        return known[-1]
    if not (jobs(folder) or (folder / "sweep.jsonl").is_file()):
        where = f"in {root.absolute()}" if name == "last" else f"at {folder.absolute()}"
        near = f"; the last is {known[-1]}" if known else ""
        raise CheckpointError(f"{key}={name}: there is no sweep {where}{near}")
    return folder


def find(name: str, root: Path = ROOT, key: str = "run") -> Path:
    """The folder of a run: of that path, `last` the newest below `root`, `best` the best job of its newest sweep.

    A sweep's folder stands for its best job. `key` is what the user was asked for.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(name).expanduser()
    if (folder / "config.yaml").is_file():
        return folder
    if name == "best" or jobs(folder):
        known = [folder] if jobs(folder) else sweeps(root)
        if not known:
            raise CheckpointError(f"{key}={name}: there is no sweep in {root.absolute()}")
        return _best(known[-1])
    runs = begun(root)
    if name == "last" and runs:
        return runs[-1]
    where = f"in {root.absolute()}" if name == "last" else f"at {folder.absolute()} (a folder with a config.yaml)"
    near = f"; the last is {runs[-1]}" if runs and name != "last" else ""
    raise CheckpointError(f"{key}={name}: there is no run {where}{near}")


def _best(sweep: Path) -> Path:
    """The best job of the row that leads the leaderboard."""
    from trainer.runs.leaderboard import leaderboard

    best = next((group.best for group in leaderboard(sweep).groups if group.best), None)
    if not best:
        raise CheckpointError(f"{sweep}: no job of this sweep has finished")
    return best.folder


def objective(summary: dict[str, Any]) -> float:
    """The monitored validation metric of the best epoch, so that larger is better; NaN of a run without."""
    value = _dict(summary, "best").get(str(summary.get("monitor")))
    if not isinstance(value, (int, float)):
        return math.nan
    return value if summary.get("higher_is_better") else -value
