"""Find runs and sweeps, and read what their folders record. Nothing here imports torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer.errors import CheckpointError
from trainer.files import read, read_json
from trainer.runs import ledger
from trainer.runs.folder import MetricsFile, RunFolder, create, is_running

ROOT = Path("outputs")
STATES = ("finished", "running", "interrupted", "pruned", "failed", "damaged")


class Run:
    """A run as recorded in its folder, read lazily; what is missing or unreadable is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, RunFolder(folder)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Time, command, code, packages and machine of its first start."""
        return read_json(self.files.environment)

    @property
    def latest(self) -> dict[str, Any]:
        """The environment of its latest start, perhaps a resumption."""
        return [self.environment, *self.environment.get("resumed", [])][-1]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How it ended."""
        return read_json(self.files.summary)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The whole config, read as plain data.

        Raises:
            CheckpointError: it cannot be read.
        """
        return _yaml(self.files.config, dict)

    @property
    def overrides(self) -> list[str]:
        """The overrides that made its config; a job of a sweep has its own.

        Raises:
            CheckpointError: they cannot be read.
        """
        return [str(line) for line in _yaml(self.files.hydra / "overrides.yaml", list)]

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, one per epoch, up to the first unreadable one."""
        return MetricsFile(self.files.metrics).rows()

    @cached_property
    def started(self) -> datetime:
        """When it first started."""
        try:
            return datetime.fromisoformat(self.environment["time"]).astimezone()
        except (KeyError, TypeError, ValueError):
            return datetime.fromtimestamp(self.folder.stat().st_mtime).astimezone()

    @cached_property
    def state(self) -> str:
        """One of STATES."""
        if is_running(self.folder):
            return "running"
        if not self.environment and self.files.environment.exists():
            return "damaged"
        if not self.summary:  # it was killed
            return "damaged" if self.files.summary.exists() else "interrupted"
        return self.summary["status"] if self.summary.get("status") in STATES else "damaged"

    @property
    def has_started(self) -> bool:
        """Whether it got far enough to record its config."""
        return self.files.config.is_file()

    @property
    def names(self) -> dict[str, Any]:
        """The chosen options, such as model -> resnet."""
        return _dict(self.environment, "names") or _dict(self.summary, "names")

    @property
    def seconds(self) -> float | None:
        """Seconds of training."""
        return _number(self.summary.get("train_s"))

    def metrics(self, split: str) -> dict[str, float]:
        """Return the metrics of `best` (validation, in the best epoch) or `test`."""
        found = {name: _number(value) for name, value in _dict(self.summary, split).items()}
        return {name: value for name, value in found.items() if value is not None}

    def metric(self, split: str, name: str | None = None) -> float | None:
        """Return one metric, by default the monitored one, if it was measured."""
        return self.metrics(split).get(name or str(self.summary.get("monitor")))

    @property
    def objective(self) -> float:
        """The monitored validation metric of the best epoch, signed so that larger is better; NaN if missing."""
        value = self.metric("best")
        return math.nan if value is None else value if self.summary.get("higher_is_better") else -value


def _yaml(path: Path, kind: type) -> Any:
    import yaml

    try:
        content = yaml.load(read(path), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # ten times as fast
        if not isinstance(content, kind):
            raise ValueError(f"expected a {kind.__name__}")
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    return content


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) or value in ("nan", "inf", "-inf") else None


def _dict(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def every(root: Path = ROOT) -> list[Run]:
    """Return all runs below a folder, even those that never trained, but no jobs of sweeps; oldest first."""
    return _listed(root.glob("[0-9]*/*"))


def jobs(sweep: Path) -> list[Run]:
    """Return the runs of a sweep, oldest first."""
    return _listed(sweep.glob("*"))


def _listed(folders: Iterable[Path]) -> list[Run]:
    return sorted(filter(None, map(look, folders)), key=lambda run: (run.started, str(run.folder)))


def look(folder: Path) -> Run | None:
    """Return the run in a folder, if there is one."""
    run = Run(folder)
    is_run = run.environment or run.summary or run.files.lock.exists()
    return run if is_run else None


def started(runs: Iterable[Run]) -> list[Run]:
    """Return the runs that got far enough to be used or resumed."""
    return [run for run in runs if run.has_started]


def sweeps(root: Path = ROOT) -> dict[Path, int]:
    """Return the sweeps below a folder, oldest first, with the number of jobs started in each."""
    known = Counter({path.parent: 0 for path in root.glob(f"sweeps/*/*/{ledger.FILE}")})
    known.update(path.parent.parent for path in root.glob(str(RunFolder(Path("sweeps/*/*/*")).environment)))
    return dict(sorted(known.items()))


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / ledger.FILE).is_file()


def find_sweep(name: str, root: Path = ROOT, key: str = "sweep") -> Path:
    """Return the folder of a sweep: a path, or for `last` the newest below `root`.

    Raises:
        CheckpointError: there is none.
    """
    folder, known = Path(name).expanduser(), [*sweeps(root)]
    if name == "last" and known:
        return known[-1]
    if not (is_sweep(folder) or jobs(folder)):
        where = f"in {root.absolute()}" if name == "last" else f"at {folder.absolute()}"
        near = f"; the last is {known[-1]}" if known else ""
        raise CheckpointError(f"{key}={name}: there is no sweep {where}{near}")
    return folder


def find(name: str, root: Path = ROOT, key: str = "run") -> Path:
    """Return the folder of a run: a path, `last` (the newest below `root`) or `best` (the best job of the last sweep).

    A sweep's folder stands for its best job. `key` is the setting to name in errors.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(name).expanduser()
    if Run(folder).has_started:
        return folder
    if name == "best" or jobs(folder):
        known = [folder] if jobs(folder) else [*sweeps(root)]
        if not known:
            raise CheckpointError(f"{key}={name}: there is no sweep in {root.absolute()}")
        from trainer.runs.leaderboard import leaderboard

        best = next((group.best for group in leaderboard(known[-1]).groups if group.best), None)
        if not best:
            raise CheckpointError(f"{known[-1]}: no job of this sweep has finished")
        return best.folder
    runs = [run.folder for run in started(every(root))]
    if name == "last" and runs:
        return runs[-1]
    where = f"in {root.absolute()}" if name == "last" else f"at {folder.absolute()} (a folder with a config.yaml)"
    near = f"; the last is {runs[-1]}" if runs and name != "last" else ""
    raise CheckpointError(f"{key}={name}: there is no run {where}{near}")


def new_folder(what: str, root: Path = ROOT) -> Path:
    """Create a folder for the output of a command, next to those of runs."""
    now = datetime.now()
    return create(root / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{what}")
