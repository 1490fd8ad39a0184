"""The end of a sweep in the terminal: its leaderboard and its failures."""

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

MOST_ROWS = 20  # of a data set, in the terminal; the files have them all
MOST_FAILURES = 10
_wrap = partial(textwrap.wrap, break_on_hyphens=False, break_long_words=False)  # a path stays one
BOLD, BEST, PLAIN = "\x1b[1m", "\x1b[1;32m", "\x1b[0m"
KEEP = {"rank": 9, "pruned after": 6, "test": 5, "seeds": 4, "jobs": 3, "time": 2, "val": 9}  # keys that differ: 7


def report(folder: Path, place: Path | None = None) -> Leaderboard:
    """Print the leaderboard of a sweep, and save it in its folder or another as leaderboard.csv and leaderboard.md.

    Raises:
        FileSystemError: it cannot be saved.
    """
    board, place = leaderboard(folder), place or folder
    try:
        show(board)
    finally:  # the reader of what is printed may have gone
        save(board, place)
    say("", f"leaderboard  {shown(place / 'leaderboard.csv')}, .md")
    return board


def show(board: Leaderboard) -> None:
    """Print it: in a terminal what fits, elsewhere everything in plain lines."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    colour = is_terminal and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    found, told = tables(board, width, colour), progress(board)
    say(*found, *wrapped([told] if not found or ":" in told else [], width), *failures(board, width))


def tables(board: Leaderboard, width: int | None, colour: bool, most: int = MOST_ROWS) -> list[str]:
    """A table for each metric, and below it how it is to be read, in lines of at most `width` characters."""
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
    """Titles, a rule, and the rows but for a baseline that has no column; in colour, the best rows are green."""
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
    """Those that have something in them; where room is short a word of their title stands for it."""

    def column(title: str, said: str) -> Column:
        is_key = title in keys
        return Column(
            said,
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
    """What has failed: for each job what it was, why, and where its traceback is."""
    found = ["", "failed"] if board.failed else []
    for number, event in list(board.failed.items())[:MOST_FAILURES]:
        what = f"job {number}  {' '.join(differing(event['overrides'], board))}"
        why = one_line(str(event.get("error", "")))
        log = f"  {shown(RunFolder(board.folder / event['folder']).log)}"  # never broken: it is to be copied
        found += [*wrapped([what], width), *wrapped([f"  {why}"], width, indent="  "), log]
    hidden = len(board.failed) - MOST_FAILURES
    return [*found, f"and {hidden} more: see leaderboard.md"] if hidden > 0 else found


def wrapped(lines: Sequence[str], width: int | None, indent: str = "") -> list[str]:
    """Lines with something in them, broken where they are too long."""
    if width is None:
        return [line for line in lines if line]
    return [part for line in lines for part in _wrap(line, max(width, 20), subsequent_indent=indent)]
