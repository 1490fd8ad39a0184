"""A sweep's leaderboard and failures in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trainer.runs.folder import RunFolder
from trainer.runs.leaderboard import Leaderboard, leaderboard
from trainer.view.sweep.files import save
from trainer.view.sweep.text import (
    Cells,
    by_metric,
    cells,
    differing,
    keys_of,
    lead,
    one_line,
    progress,
    reading,
    titles,
)
from trainer.view.table import GAP, Column, can_say, fitting, plain, say
from trainer.view.words import shown

MOST_ROWS = 20  # per dataset in the terminal; the files have all
MOST_FAILURES = 10
_wrap = partial(textwrap.wrap, break_on_hyphens=False, break_long_words=False)  # keeps paths whole
BOLD, BEST, PLAIN = "\x1b[1m", "\x1b[1;32m", "\x1b[0m"
KEEP = {"rank": 9, "pruned after": 6, "test": 5, "seeds": 4, "jobs": 3, "time": 2, "val": 9}  # differing keys: 7


def report(folder: Path, place: Path | None = None) -> Leaderboard:
    """Print the leaderboard of a sweep, and save it as leaderboard.csv and .md in its folder or in `place`.

    Raises:
        FileSystemError: it cannot be saved.
    """
    board, place = leaderboard(folder), place or folder
    try:
        show(board)
    finally:  # also if the reader of the output is gone
        save(board, place)
    say("", f"leaderboard  {shown(place / 'leaderboard.csv')}, .md")
    return board


def show(board: Leaderboard) -> None:
    """Print the leaderboard: what fits in a terminal, everything elsewhere."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    colour = is_terminal and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    found, summary = tables(board, width, colour), progress(board)
    say(*found, *wrapped([summary] if not found or ":" in summary else [], width), *failures(board, width))


def tables(board: Leaderboard, width: int | None, colour: bool, most: int = MOST_ROWS) -> list[str]:
    """Format a table for each metric, with notes on how to read it, in lines of at most `width` characters."""
    found: list[str] = []
    sign = "±" if can_say("±") else "+-"
    for groups in by_metric(board):
        rows = cells(board, groups, most, sign)
        every = _columns(rows, keys_of(board, groups), width)
        columns = every if width is None else fitting(every, width)
        narrow = [column.title for column in every if column not in columns]
        hidden = sum(max(0, len(group.rows) - most) for group in groups)
        notes = [
            f"and {hidden} more" if hidden else "",
            reading(groups, sign),
            *map(lead, groups),
            f"no room for {', '.join(narrow)}" if narrow else "",
        ]
        found += ["", *_lines(columns, rows, colour), *wrapped(notes, width)]
    return found


def _lines(columns: Sequence[Column], rows: Sequence[Cells], colour: bool) -> list[str]:
    """Format titles, a rule and rows, the best ones green; the baseline needs a test column."""
    head, *lines = plain(columns)
    rule = ("─" if can_say("─") else "-") * max(map(len, [head, *lines]))
    has_test = any(column.title.startswith("test") for column in columns)
    lines = [
        f"{BEST}{line}{PLAIN}" if colour and row.get("rank") == "1" else line or " "
        for row, line in zip(rows, lines, strict=True)
        if has_test or row.get("rank") != "baseline"
    ]
    return [f"{BOLD}{head}{PLAIN}" if colour else head, rule, *lines]


def _columns(rows: Sequence[Cells], keys: Sequence[str], width: int | None) -> list[Column]:
    """Return the non-empty columns, with titles cut to one word if they are too wide."""

    def column(title: str, short: str) -> Column:
        is_key = title in keys
        return Column(
            short,
            [row.get(title, "") for row in rows],
            right=not is_key and title not in ("pruned after", "jobs"),
            keep=7 if is_key else KEEP[title.split("/")[0]],
        )

    named = titles(rows)
    columns = [column(title, title) for title in named]
    if width is None or sum(c.width + len(GAP) for c in columns) - len(GAP) <= width:
        return columns
    short = [title.split("/")[0].split()[0].rpartition(".")[2] for title in named]
    return [column(t, s if short.count(s) == 1 else t) for t, s in zip(named, short, strict=True)]


def failures(board: Leaderboard, width: int | None) -> list[str]:
    """List each failed job, its error, and where its traceback is."""
    found = ["", "failed"] if board.failed else []
    for number, event in list(board.failed.items())[:MOST_FAILURES]:
        what = f"job {number}  {' '.join(differing(event['overrides'], board))}"
        why = one_line(str(event.get("error", "")))
        log = f"  {shown(RunFolder(board.folder / event['folder']).log)}"  # never wrapped, so that it can be copied
        found += [*wrapped([what], width), *wrapped([f"  {why}"], width, indent="  "), log]
    hidden = len(board.failed) - MOST_FAILURES
    return [*found, f"and {hidden} more: see leaderboard.md"] if hidden > 0 else found


def wrapped(lines: Sequence[str], width: int | None, indent: str = "") -> list[str]:
    """Wrap the non-empty lines at `width`."""
    if width is None:
        return [line for line in lines if line]
    return [part for line in lines for part in _wrap(line, max(width, 20), subsequent_indent=indent)]
