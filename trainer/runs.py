"""Which runs there are, in which order they were begun, and how they stand. Nothing here imports torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from trainer.errors import CheckpointError
from trainer.run import read_json

ROOT = Path("outputs")


def begun(root: Path = ROOT) -> list[Path]:
    """All runs below a folder, in the order in which they were begun; the jobs of sweeps are none of them."""
    return _in_order(root.glob("[0-9]*/*/environment.json"))


def jobs(sweep: Path) -> list[Path]:
    """The runs of a sweep, in the order in which they were begun."""
    return _in_order(sweep.glob("*/environment.json"))


def _in_order(files: Any) -> list[Path]:
    times = {file.parent: str(read_json(file).get("time", "")) for file in files}
    return sorted(times, key=lambda folder: (times[folder], str(folder)))


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
        sweeps = [folder] if jobs(folder) else sorted(p for p in root.glob("sweeps/*/*") if jobs(p))
        if not sweeps:
            raise CheckpointError(f"{key}={name}: there is no sweep in {root.absolute()}")
        return _best(sweeps[-1])
    runs = begun(root)
    if name == "last" and runs:
        return runs[-1]
    where = f"in {root.absolute()}" if name == "last" else f"at {folder.absolute()} (a folder with a config.yaml)"
    near = f"; the last is {runs[-1]}" if runs and name != "last" else ""
    raise CheckpointError(f"{key}={name}: there is no run {where}{near}")


def _best(sweep: Path) -> Path:
    """The job with the best validation metric; the first of several."""
    finished = [job for job in jobs(sweep) if math.isfinite(objective(read_json(job / "summary.json")))]
    if not finished:
        raise CheckpointError(f"{sweep}: no job of this sweep has finished")
    return max(finished, key=lambda job: objective(read_json(job / "summary.json")))


def objective(summary: dict[str, Any]) -> float:
    """The monitored validation metric of the best epoch, so that larger is better; NaN of a run without."""
    value = summary.get("best", {}).get(summary.get("monitor"))
    if not isinstance(value, (int, float)):
        return math.nan
    return value if summary.get("higher_is_better") else -value
