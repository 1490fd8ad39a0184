"""A sweep's leaderboard and failures in the terminal."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from trainer.runs.folder import RunFolder
from trainer.runs.leaderboard import Leaderboard, leaderboard
from trainer.runs.ledger import Ledger
from trainer.view.sweep import text
from trainer.view.sweep.files import save
from trainer.view.table import PLAIN, Column, fitting, plain, ruled, say, sayable, width_of
from trainer.view.words import shown

MOST_ROWS = 20  # per dataset in the terminal; the files have all
MOST_FAILURES = 10
BEST = "\x1b[1;32m"
KEEP = {"rank": 9, "pruned after": 6, "test": 5, "jobs": 3, "time": 2, "val": 9}  # differing keys: 7
KEEP |= dict.fromkeys(("seeds", "folds", "seeds and folds"), 4)


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
    if damaged := Ledger(folder).num_damaged():
        say(f"{shown(Ledger(folder).path)}: {damaged} damaged line{'s' * (damaged > 1)} ignored")
    say("", f"leaderboard  {shown(place / 'leaderboard.csv')}, .md")
    return board


def show(board: Leaderboard) -> None:
    """Print the leaderboard: what fits in a terminal, everything elsewhere."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else sys.maxsize
    colour = is_terminal and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    found, summary = tables(board, width, colour), text.progress(board)
    say(*found, *_wrapped([summary] if not found or ":" in summary else [], width), *failures(board, width))


def tables(board: Leaderboard, width: int, colour: bool, most: int = MOST_ROWS) -> list[str]:
    """Format a table for each metric, with notes on how to read it, in lines of at most `width` characters."""
    found: list[str] = []
    for groups in text.by_metric(board):
        rows = text.cells(board, groups, most)
        every = _columns(rows, text.keys_of(board, groups), width)
        columns = fitting(every, width)
        narrow = [column.title for column in every if column not in columns]
        hidden = sum(max(0, len(group.rows) - most) for group in groups)
        notes = [
            f"and {hidden} more" if hidden else "",
            sayable(text.reading(board, groups)),
            *(text.lead(board, group) for group in groups),
            *(text.on_test(group, most) for group in groups),
            f"no room for {', '.join(narrow)}" if narrow else "",
        ]
        found += ["", *_lines(columns, rows, colour), *_wrapped(notes, width)]
    return found


def _lines(columns: Sequence[Column], rows: Sequence[text.Cells], colour: bool) -> list[str]:
    """Format titles, a rule and rows, the best ones green; the baseline needs a test column."""
    head, rule, *lines = ruled(plain(columns), bold=colour)
    has_test = any(column.title.startswith("test") for column in columns)
    shown = [
        f"{BEST}{line}{PLAIN}" if colour and row.get("rank") == "1" else line or " "
        for row, line in zip(rows, lines, strict=True)
        if has_test or row.get("rank") != "baseline"
    ]
    return [head, rule, *shown]


def _columns(rows: Sequence[text.Cells], keys: Sequence[str], width: int) -> list[Column]:
    """Return the non-empty columns, with titles cut to one word if they are too wide."""
    columns = [
        Column(
            title,
            [sayable(row.get(title, "")) for row in rows],
            right=title not in (*keys, "pruned after", "jobs"),
            keep=7 if title in keys else KEEP[title.split("/")[0]],
        )
        for title in text.titles(rows)
    ]
    if width_of(columns) <= width:
        return columns
    short = [column.title.split("/")[0].split()[0].rpartition(".")[2] for column in columns]
    return [c._replace(title=s) if short.count(s) == 1 else c for c, s in zip(columns, short, strict=True)]


def failures(board: Leaderboard, width: int) -> list[str]:
    """List each failed job, its error, and where its traceback is."""
    found = ["", "failed"] if board.failed else []
    for number, event in list(board.failed.items())[:MOST_FAILURES]:
        what = f"job {number}  {' '.join(text.differing(event['overrides'], board))}"
        why = text.one_line(str(event.get("error", "")))
        log = f"  {shown(RunFolder(board.folder / event['folder']).log)}"  # never wrapped, so that it can be copied
        found += [*_wrapped([what], width), *_wrapped([f"  {why}"], width, indent="  "), log]
    hidden = len(board.failed) - MOST_FAILURES
    return [*found, f"and {hidden} more: see leaderboard.md"] if hidden > 0 else found


def _wrapped(lines: Sequence[str], width: int, indent: str = "") -> list[str]:
    """Wrap the non-empty lines at `width`, but keep paths whole."""
    wrapper = textwrap.TextWrapper(
        max(width, 20), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return [part for line in lines for part in wrapper.wrap(line)]
