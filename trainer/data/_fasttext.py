"""Read texts as fastText does: a text per line, with its label as a word behind `__label__`."""

import re
import shlex
from pathlib import Path

from trainer.data._textfile import read_lines, shown, stem
from trainer.errors import DataError

NAMES, TOLD = ("label", "text"), "; labels follow __label__"
LABEL = r"__label__(\S+?),?"
LINE = re.compile(rf"\s*{LABEL}(?:[\s,]+(?P<text>.*)|$)|(?P<before>.*)\s{LABEL}\s*")


def is_fasttext(start: str) -> bool:
    """Return whether all lines at the beginning of a file have a label."""
    lines = [line for line in start.splitlines() if line.strip()][:50]
    return bool(lines) and all(map(LINE.fullmatch, lines))


def read_fasttext(file: Path, encoding: str) -> list[tuple[list[str], int]]:
    """Return label and text of each line that is not blank, and its number, from 1.

    Raises:
        DataError: a line has no label, or several.
    """
    rows = []
    for number, line in enumerate(read_lines(file, encoding), 1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line)
        if not found:
            raise DataError(f"{file}: line {number}: no __label__ in {shown(line)}; other lines have one")
        text = (found["text"] if found["before"] is None else found["before"]) or ""
        if more := re.search(rf"(?:^|\s){LABEL}(?:\s|$)", text):
            source, new = (shlex.quote(str(path)) for path in (file, f"{stem(file)}-one-label.txt"))
            cure = f"sed -E 's/(__label__[^ ]+)( +__label__[^ ]+)+/\\1/' {source} > {new} keeps the first of each line"
            raise DataError(f"{file}: line {number}: another label, {shown(more[1])}; expected one per text; {cure}")
        rows.append(([found[1] or found[4], text.strip()], number))
    return rows
