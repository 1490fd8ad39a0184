"""What a sweep has found: jobs that differ in their seed alone are one row, ranked by the metric that was monitored."""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from trainer.errors import SweepError
from trainer.run import read_json
from trainer.sweep.ledger import Event, Ledger, key_values

MOST_ROWS = 20  # in the terminal; the files have them all


class Row(NamedTuple):
    """Jobs with everything but the seed equal."""

    values: dict[str, str]  # the keys that differ in the sweep
    jobs: list[int]
    objectives: list[float]
    tests: list[float]  # the same metric on the test split
    seconds: float

    @property
    def mean(self) -> float:
        """Of the objective."""
        return statistics.fmean(self.objectives)


class Leaderboard(NamedTuple):
    """The rows from the best to the worst, and what there is beside them."""

    metric: str
    higher_is_better: bool
    keys: list[str]  # that differ, the seed apart
    rows: list[Row]
    failed: dict[int, Event]
    pending: dict[int, Event]
    baseline: dict[str, float]


def leaderboard(folder: Path) -> Leaderboard:
    """Of the sweep in `folder`, as far as it has come."""
    jobs = Ledger(folder).jobs()
    values = {number: key_values(event["overrides"]) for number, event in jobs.items()}
    every = list(dict.fromkeys(key for v in values.values() for key in v))
    differ = [key for key in every if len({v.get(key) for v in values.values()}) > 1]
    keys = [key for key in differ if key != "seed"]
    finished = {n: event for n, event in jobs.items() if event["event"] == "finished"}
    summaries = {n: read_json(folder / event["folder"] / "summary.json") for n, event in finished.items()}
    grouped: dict[tuple, list[int]] = {}
    for number in finished:
        grouped.setdefault(tuple(values[number].get(key, "") for key in keys), []).append(number)
    first: Mapping[str, Any] = next(iter(summaries.values()), {})
    metric = first.get("monitor", "")
    rows = [
        Row(
            dict(zip(keys, found, strict=True)),
            numbers,
            [float(finished[n]["objective"]) for n in numbers],
            [float(summaries[n].get("test", {}).get(metric, math.nan)) for n in numbers],
            sum(finished[n]["seconds"] for n in numbers),
        )
        for found, numbers in grouped.items()
    ]
    sign = -1 if first.get("higher_is_better") else 1
    rows.sort(key=lambda row: math.inf if math.isnan(row.mean) else sign * row.mean)
    return Leaderboard(
        metric,
        bool(first.get("higher_is_better")),
        keys,
        rows,
        {n: event for n, event in jobs.items() if event["event"] == "failed"},
        {n: event for n, event in jobs.items() if event["event"] in ("started", "interrupted")},
        first.get("baseline", {}),
    )


def report(folder: Path) -> None:
    """Print the leaderboard and save it: leaderboard.csv, .md and .png.

    Raises:
        SweepError: jobs have failed.
    """
    board = leaderboard(folder)
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 120)
    _save(folder, board)
    console.print(table(board))
    print(f"leaderboard   {folder / 'leaderboard.csv'}")
    if board.failed:
        console.print(_failures(folder, board.failed))
        raise SweepError(
            f"{len(board.failed)} of the jobs of {folder} failed; resume={folder} sweep.retry=true tries again"
        )


def table(board: Leaderboard) -> Table:
    """Rank, keys, metric with its deviation over the seeds, test metric, seconds."""
    shown = Table(box=box.SIMPLE_HEAD)
    lines = _lines(board)
    for name in lines[0]:
        shown.add_column(name, justify="left" if name in (*board.keys, "jobs") else "right", overflow="fold")
    for line in lines[1:][:MOST_ROWS]:
        shown.add_row(*line)
    if len(lines) - 1 > MOST_ROWS:
        shown.add_row("...", f"{len(lines) - 1 - MOST_ROWS} more in leaderboard.csv")
    if board.metric in board.baseline:
        shown.add_row("", *_baseline(board))
    return shown


def _lines(board: Leaderboard) -> list[list[str]]:
    """The header, and a line of text for each row."""
    head = ["rank", *board.keys, f"val/{board.metric}", f"test/{board.metric}", "seconds", "jobs"]
    return [head] + [
        [
            str(rank),
            *(row.values.get(key, "") for key in board.keys),
            _spread(row.objectives),
            _spread(row.tests),
            f"{row.seconds / len(row.jobs):.1f}",
            ",".join(map(str, row.jobs)),
        ]
        for rank, row in enumerate(board.rows, 1)
    ]


def _baseline(board: Leaderboard) -> list[str]:
    words = ["baseline", *[""] * (len(board.keys) - 1)] if board.keys else []
    return [*words, "", _spread([board.baseline[board.metric]]), "", ""]


def _spread(values: Sequence[float]) -> str:
    """Mean and, of several, standard deviation."""
    mean = f"{statistics.fmean(values):.5g}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2g}"


def _failures(folder: Path, failed: Mapping[int, Event]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title="failed", title_justify="left")
    for name in ("job", "overrides", "error", "log"):
        shown.add_column(name, overflow="fold")
    for number, event in failed.items():
        log = folder / event["folder"] / "train.log"
        shown.add_row(str(number), " ".join(event["overrides"]), str(event.get("error", "")), str(log))
    return shown


def _save(folder: Path, board: Leaderboard) -> None:
    head = ["rank", *board.keys, "seeds", "val_mean", "val_std", "test_mean", "test_std", "seconds", "jobs"]
    with (folder / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for rank, row in enumerate(board.rows, 1):
            numbers = [
                number
                for values in (row.objectives, row.tests)
                for number in (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else "")
            ]
            keys = [row.values.get(key, "") for key in board.keys]
            jobs = " ".join(map(str, row.jobs))
            writer.writerow([rank, *keys, len(row.jobs), *numbers, round(row.seconds, 3), jobs])
    lines = _lines(board)
    text = [f"| {' | '.join(line)} |" for line in lines]
    text.insert(1, f"|{'---|' * len(lines[0])}")
    if board.metric in board.baseline:
        text.append(f"| | {' | '.join(_baseline(board))} |")
    for number, event in board.failed.items():
        text.append(f"\njob {number} failed: `{' '.join(event['overrides'])}`: {event.get('error', '')}")
    (folder / "leaderboard.md").write_text("\n".join(text) + "\n", encoding="utf-8")
