"""Tables: fitted to the width of a terminal, or plain aligned text for a file or a pipe.

rich would take a second for a thousand rows.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from trainer.errors import printable
from trainer.view import streams

GAP = "  "
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


class Column(NamedTuple):
    """A title and a cell for each row. A narrow terminal drops columns with the least `keep` first."""

    title: str
    cells: Sequence[str]
    right: bool = False
    keep: int = 0

    @property
    def width(self) -> int:
        """Return the width of the widest cell in characters."""
        return max(len(printable(cell)) for cell in [self.title, *self.cells])


def show(columns: Sequence[Column], whole: bool = False) -> None:
    """Print the non-empty columns; in a terminal only those that fit, unless `whole`."""
    columns = [column for column in columns if any(column.cells)]
    if not sys.stdout.isatty():
        say(*plain(columns))
        return
    columns = columns if whole else fitting(columns, shutil.get_terminal_size().columns)
    say(*ruled(plain(columns), bold=os.environ.get("TERM") != "dumb"))


def ruled(lines: Sequence[str], bold: bool) -> list[str]:
    """Set the titles of a plain table apart from its rows."""
    titles, *rows = lines
    return [f"{BOLD}{titles}{PLAIN}" if bold else titles, sayable("─") * max(map(len, lines)), *rows]


def width_of(columns: Sequence[Column]) -> int:
    """Return the width of a table in characters."""
    return sum(column.width + len(GAP) for column in columns) - len(GAP)


def fitting(columns: Sequence[Column], most: int) -> list[Column]:
    """Return the columns that fit in `most` characters, at least one; one that takes most of them goes first."""
    left = [column for column in columns if column.width <= 0.6 * most] or list(columns)
    while len(left) > 1 and width_of(left) > most:
        left.remove(min(reversed(left), key=lambda column: column.keep))
    return left


def plain(columns: Sequence[Column]) -> list[str]:
    """Format one line for the titles and one for each row."""
    aligned = []
    for column in columns:
        align = f"{'>' if column.right else '<'}{column.width}"
        aligned.append([f"{printable(cell):{align}}" for cell in (column.title, *column.cells)])
    return [GAP.join(row).rstrip() for row in zip(*aligned, strict=True)]


def say(*lines: str) -> None:
    """Print lines; characters that standard output cannot encode become question marks, and in a terminal colours stay.

    Other control characters are shown.
    """
    for line in lines:
        text, own = _encoded(line), streams.unescaped()
        parts = re.split(r"(\x1b\[[\d;]*m)", text) if own.isatty() else [text]
        own.write("".join(part if number % 2 else printable(part) for number, part in enumerate(parts)) + "\n")


def can_say(text: str) -> bool:
    """Return whether standard output can encode the text."""
    return _encoded(text) == text


def sayable(text: str) -> str:
    """Write ± and ─ in ASCII if standard output cannot encode them."""
    return text if can_say(text) else text.replace("±", "+-").replace("─", "-")


def _encoded(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
