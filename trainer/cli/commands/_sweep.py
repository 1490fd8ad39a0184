"""A sweep beside itself: its leaderboard, what else its jobs differ in, and its pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from trainer.errors import FileSystemError
from trainer.runs.index import jobs
from trainer.runs.leaderboard import Group, Leaderboard, Spread, leaderboard
from trainer.view.comparison import drift, sides
from trainer.view.curves import draw
from trainer.view.sweep.table import report, show
from trainer.view.table import say
from trainer.view.words import shown


def compare_sweep(sweep: Path, output: str, as_json: bool) -> None:
    """What a sweep says at its end, and in what the place of its jobs differs; `output` is a .png or a folder.

    Raises:
        FileSystemError: what cannot be written.
    """
    elsewhere = drift(sides(begun_in(sweep)))
    if as_json:
        say(json.dumps(_record(leaderboard(sweep)) | {"elsewhere": elsewhere}, indent=2, ensure_ascii=False))
        return
    path = Path(output).expanduser() if output else sweep
    is_picture = path.suffix == ".png"
    if is_picture:
        show(leaderboard(sweep))
        say("")
    else:
        report(sweep, path)
    if elsewhere:
        say("code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere), "")
    if is_picture:
        _draw_board(sweep, path)
    else:
        draw_sweep(sweep, path)


def draw_sweep(sweep: Path, place: Path) -> None:
    """The metric against the keys and, if at least two jobs have some, the curves; of each a line that says so."""
    _draw_board(sweep, place / "leaderboard.png")
    drawn = [side for side in sides(begun_in(sweep)) if side.history]
    if len(drawn) > 1:
        say(f"picture      {shown(draw(drawn, place / 'compare.png'))}")


def begun_in(sweep: Path) -> list[Path]:
    """The jobs that have begun to train."""
    return [job for job in jobs(sweep) if (job / "config.yaml").is_file()]


def _draw_board(sweep: Path, path: Path) -> None:
    from trainer.view.sweep import picture  # imports what draws

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if picture.draw(leaderboard(sweep), path):
            say(f"picture      {shown(path)}")
    except OSError as error:
        raise FileSystemError(f"{path.absolute()}: {error.strerror or error}") from error


def _record(board: Leaderboard) -> dict[str, Any]:
    return {
        "sweep": str(board.folder),
        "jobs": board.num_jobs,
        "keys": board.keys,
        "groups": [_group(board, group) for group in board.groups],
        "failed": [
            {"job": number, "overrides": event["overrides"], "error": event.get("error")}
            for number, event in board.failed.items()
        ],
        "pending": list(board.pending),
    }


def _group(board: Leaderboard, group: Group) -> dict[str, Any]:
    return {
        "metric": group.metric,
        "higher_is_better": group.higher_is_better,
        "data": group.data,
        "baseline": _spread(group.baseline) if group.baseline else None,
        "best": str(group.best.folder) if group.best else None,
        "rows": [
            {
                "values": row.values,
                "validation": _spread(row.objective),
                "test": _spread(row.test),
                "pruned_after": row.pruned_after,
                "seconds": _or_null(row.seconds),
                "jobs": [job.number for job in row.jobs],
            }
            for row in group.rows
        ],
    }


def _spread(found: Spread) -> dict[str, float | None]:
    return {"mean": _or_null(found.mean), "std": _or_null(found.std)}


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
