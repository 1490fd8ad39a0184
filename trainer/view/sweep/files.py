"""Write a leaderboard as leaderboard.csv, for programs, and leaderboard.md, for people; and return it for JSON."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.errors import naming, printable
from trainer.files import replacing, write_text
from trainer.runs.leaderboard import Leaderboard, Row
from trainer.runs.paired import difference, interval
from trainer.view.sweep.text import by_metric, cells, keys_of, lead, on_test, one_line, progress, reading, titles

CSV = "leaderboard.csv"
UNKNOWN = (math.nan, math.nan)


def save(board: Leaderboard, place: Path) -> None:
    """Write leaderboard.csv and leaderboard.md in the folder `place`.

    Raises:
        FileSystemError: they cannot be written.
    """
    with naming(place):
        place.mkdir(parents=True, exist_ok=True)
        with replacing(place / CSV) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(_table(board))
        write_text(place / "leaderboard.md", printable(_markdown(board)))


def _table(board: Leaderboard) -> list[list[object]]:
    """Return all rows and columns with all digits, titles first."""
    keys = keys_of(board, board.groups)
    named = [
        board.replicates.split()[-1],
        "val_mean",
        "val_std",
        "test_mean",
        "test_std",
        *("test_low", "test_high", "difference_low", "difference_high"),
        "pruned_after",
        "seconds",
        "jobs",
    ]
    table: list[list[object]] = [["rank", "metric", *keys, *named]]
    for group in board.groups:
        for rank, row in enumerate(group.rows, 1):
            values = {"data": group.data, **row.values}
            around = interval(row) or UNKNOWN, (rank > 1 and difference(row, group.rows[0])) or UNKNOWN
            numbers = (*row.objective, *row.test, *around[0], *around[1])
            found = ["" if math.isnan(value) else value for value in numbers]
            pruned_after = "" if row.pruned_after is None else row.pruned_after
            jobs = " ".join(str(job.number) for job in row.jobs)
            chosen = [values[key] for key in keys]
            table.append(
                [rank, group.metric, *chosen, len(row.jobs), *found, pruned_after, round(row.seconds, 3), jobs]
            )
    return table


def _markdown(board: Leaderboard) -> str:
    lines: list[str] = []
    for groups in by_metric(board):
        rows, keys = cells(board, groups, max(len(group.rows) for group in groups)), keys_of(board, groups)
        named = titles(rows)
        lines += [_line(named), _line([":---" if title in keys else "---:" for title in named])]
        for row in filter(None, rows):
            lines.append(_line([_code(row.get(t, "")) if t in keys else row.get(t, "") for t in named]))
        lines += [
            "",
            *(f"{line}." for line in [reading(board, groups), *(lead(board, group) for group in groups)] if line),
            *(f"{line}." for line in (on_test(group, len(group.rows)) for group in groups) if line),
            "",
        ]
    lines += [f"{progress(board)}.", ""]
    if board.failed:
        lines += [_line(["failed job", "overrides", "error"]), _line(["---:", ":---", ":---"])]
    for number, event in board.failed.items():
        lines.append(_line([str(number), _code(" ".join(event["overrides"])), _code(one_line(event.get("error", "")))]))
    return "\n".join(lines).rstrip() + "\n"


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(part.replace('|', chr(92) + '|') for part in parts)} |"


def _code(text: str) -> str:
    """Quote text as code, so that * and < have no effect."""
    return f"`{text.replace('`', chr(39))}`" if text else ""


def record(board: Leaderboard) -> dict[str, Any]:
    """Return the whole leaderboard as JSON."""
    return {
        "sweep": str(board.folder),
        "jobs": board.num_jobs,
        "keys": board.keys,
        "groups": [
            {
                "metric": group.metric,
                "higher_is_better": group.higher_is_better,
                "data": group.data,
                "baseline": group.baseline._asdict() if group.baseline else None,
                "best": str(group.best.folder) if group.best else None,
                "rows": [_row(row, group.rows[0]) for row in group.rows],
            }
            for group in board.groups
        ],
        "failed": [
            {"job": number, "overrides": event["overrides"], "error": event.get("error")}
            for number, event in board.failed.items()
        ],
        "pending": list(board.pending),
    }


def _row(row: Row, best: Row) -> dict[str, Any]:
    return {
        "values": row.values,
        "validation": row.objective._asdict(),
        "test": row.test._asdict(),
        "test_interval": interval(row),
        "difference_to_best": None if row is best else difference(row, best),
        "pruned_after": row.pruned_after,
        "seconds": row.seconds,
        "jobs": [job.number for job in row.jobs],
    }
