"""Find runs and sweeps. Nothing here imports torch."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from trainer.errors import CheckpointError
from trainer.runs import ledger
from trainer.runs.folder import RunFolder, create
from trainer.runs.run import Run

ROOT = Path("outputs")


def every(root: Path = ROOT) -> list[Run]:
    """Return all runs below a folder, even those that never trained, but no jobs of sweeps; oldest first."""
    return _listed(root.glob("[0-9]*/*"))


def jobs(sweep: Path) -> list[Run]:
    """Return the runs of a sweep, oldest first."""
    return _listed(sweep.glob("*"))


def _listed(folders: Iterable[Path]) -> list[Run]:
    return sorted(filter(None, map(look, folders)), key=lambda run: (run.started, str(run.folder)))


def look(folder: Path) -> Run | None:
    """Return the run in a folder, if there is one that this user may read."""
    run = Run(folder)
    with suppress(PermissionError):
        if run.environment or run.summary or run.files.lock.exists():
            return run
    return None


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


def is_later_job(folder: Path) -> bool:
    """Whether a folder is that of a sweep's job, or trial, other than the first job."""
    return is_sweep(folder.parent) and folder.name != "0"


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
