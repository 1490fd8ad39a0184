"""The runs of cross-validation: the jobs of a sweep that differ in their fold alone. Nothing here imports torch."""

import math
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trainer.runs.index import ROOT, Run, every, is_sweep, started, sweeps
from trainer.runs.leaderboard import Job, leaderboard
from trainer.runs.ledger import Ledger

RECORD = "out_of_fold.json"  # in the folder of the sweep


class Folds(NamedTuple):
    """The finished folds of one configuration."""

    folder: Path  # of the sweep
    jobs: list[Job]


def has_folds(sweep: Path) -> bool:
    """Whether the jobs of a sweep are folds."""
    return len(Ledger(sweep).header().get("values", {}).get("fold", ())) > 1


def folds_of(name: str, root: Path = ROOT) -> Folds | None:
    """Return the folds of the best configuration that a name stands for; None if it names a run or another sweep.

    It is a folder, `last` if cross-validation is newer than any single run, or `best` of the last sweep.
    """
    if name in ("last", "best"):
        known = [*sweeps(root)]
        folder = known[-1] if known else None
        if folder and name == "last" and (runs := started(every(root))):
            folder = folder if _began(folder) > runs[-1].started.timestamp() else None
    else:
        folder = Path(name).expanduser()
    if not folder or not is_sweep(folder) or not has_folds(folder):
        return None
    rows = [row for group in leaderboard(folder).groups for row in group.rows[:1] if row.pruned_after is None]
    return Folds(folder, rows[0].jobs) if rows and math.isfinite(rows[0].objective.mean) else None


def _began(sweep: Path) -> float:
    """Return when the first job of a sweep started, in seconds since 1970."""
    with suppress(OSError, ValueError, IndexError):
        return min(run.started.timestamp() for run in map(Run, sweep.glob("[0-9]*")) if run.environment)
    return 0.0
