"""Read a table of texts: CSV with any separator, with a header or not, or JSON Lines; all cells as they are written."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from trainer.data._fasttext import NAMES, TOLD, is_fasttext, read_fasttext
from trainer.data._json import SUFFIXES, is_json, read_objects
from trainer.data._textfile import cleaned, data_errors, head, listed, open_text, quote_of, shown
from trainer.errors import DataError, nearest

CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
TABLES = (".csv", ".tsv", ".tab", *SUFFIXES)  # and these with .gz; other files hold a text per line
TEXT_NAMES = ("text", "sentence", "review", "message", "content", "comment", "tweet", "body", "document", "v2", "name")
LABEL_NAMES = (
    "label",
    "class",
    "category",
    "sentiment",
    "target",
    "labels",
    "polarity",
    "tag",
    "topic",
    "intent",
    "v1",
)
HEAD = 50  # rows that show whether a file holds texts
LONGEST_NAME = 40  # characters of a column's name in a header that is only suspected


class Record(NamedTuple):
    """The cells of a row, and its first line in the file."""

    cells: list[str]
    line: int


@dataclass(frozen=True)
class TextTable:
    """The rows of a file, all equally wide, below its header; without one, columns are called 1, 2, ..."""

    path: Path
    names: tuple[str, ...]
    rows: list[Record]
    header: bool
    told: str  # what names its columns

    def place(self, column: str) -> int:
        """Return the place of a column, given its name or its number from 1, or from -1 at the end."""
        if column in self.names:
            return self.names.index(column)
        with suppress(ValueError):
            number = int(column)
            if 0 < abs(number) <= len(self.names):
                return number - (number > 0)
        hint = nearest(column, self.names)
        hint = hint if hint.startswith("did") else f"columns: {listed(self.names, 20)}; data.text= chooses one"
        hint = hint if self.header else f"no header found; set data.header=true, or data.text=1 data.label=2; {hint}"
        raise DataError(f"{self.path}: no column {column!r}; {hint}")

    def column(self, place: int) -> list[str]:
        """Return all cells of a column."""
        return [row.cells[place] for row in self.rows]


def is_table(path: str) -> bool:
    """Return whether a file with this name is a table rather than lines."""
    return path.lower().removesuffix(".gz").endswith(TABLES)


def holds_table(path: str, text: str, label: str, **written: Any) -> bool:
    """Return whether a file of any name holds a table, rather than a text per line.

    It does if its header names the columns of training, or the separator, by default a tab, cuts all lines alike.
    """
    if is_table(path):
        return True
    usual = "tab" if written.get("separator", "auto") == "auto" else written["separator"]
    for separator in (usual, "auto"):
        with suppress(DataError):
            table = open_texts(path, most=HEAD, columns=(text, label), **written | {"separator": separator})
            is_named = table.header and text in table.names and (len(table.names) == 1 or label in table.names)
            if is_named or (separator == usual and len(table.names) > 1 and len(table.rows) > 1):
                return True
    return False


def open_texts(
    path: str,
    *,
    separator: str = "auto",
    header: bool | str = "auto",
    encoding: str = "utf-8",
    columns: Sequence[str | None] = (),
    most: int | None = None,
) -> TextTable:
    """Read a table, or its first `most` rows; `columns` that are names must be in its header.

    Raises:
        DataError: no such file, or a row with too few or too many fields; names the line.
        ValueError: an invalid option.
    """
    separator = CHARACTERS.get(separator, separator)
    if separator != "auto" and len(separator) != 1:
        raise ValueError(f"separator={separator!r}: expected auto, a character or one of {', '.join(CHARACTERS)}")
    if header not in (True, False, "auto"):
        raise ValueError(f"header={header}: expected auto, true or false")
    file = Path(path).expanduser()
    start, encoding = head(file, encoding)
    if is_json(path, "" if is_table(path) else start):
        objects = read_objects(file, encoding)
        return TextTable(file, objects.names, [Record(*row) for row in objects.rows], True, "")
    if is_fasttext(start):
        found = [Record(*row) for row in read_fasttext(file, encoding)]
        return TextTable(file, NAMES, found, True, TOLD)
    quote = quote_of(start)
    separator = _separator(start, file, quote) if separator == "auto" else separator
    try:
        rows = [*islice(_records(file, encoding, separator, quote, csv.QUOTE_MINIMAL), most)]
        is_torn = separator == "\t" and any("\n" in cell and "\t" in cell for row in rows for cell in row.cells)
    except DataError:
        if separator != "\t":
            raise
        is_torn = True
    if is_torn:  # in many files with tabs, a quote is just a character
        rows = [*islice(_records(file, encoding, separator, quote, csv.QUOTE_NONE), most)]
    if not rows:
        raise DataError(f"{file}: no lines with a text")
    names = [cleaned(cell) or f"column {n}" for n, cell in enumerate(rows[0].cells, 1)]
    wanted = {name for name in columns if name and not re.fullmatch(r"-?\d+", name)}
    if header == "auto":
        header = len({*names}) == len(names) and bool(wanted & {*names} or _looks_like_names(rows))
    if header:
        return TextTable(file, tuple(names), rows[1:], True, "; line 1 names the columns")
    return TextTable(file, tuple(str(n) for n in range(1, len(names) + 1)), rows, False, "; no header")


def _looks_like_names(rows: Sequence[Record]) -> bool:
    """Return whether the first row, unlike any other, holds names of columns."""
    first, others = [cell.strip() for cell in rows[0].cells], rows[1:]
    short = all(len(cell) <= LONGEST_NAME and not cell.isdecimal() for cell in first)
    if not short or any(row.cells[at].strip() == cell for row in others for at, cell in enumerate(first) if cell):
        return False
    if {cell.lower() for cell in first} & {*TEXT_NAMES, *LABEL_NAMES}:
        return True
    counts = [Counter(row.cells[place] for row in others) for place in range(len(first))]
    labels = [count for count in counts if len(count) > 1 and min(count.values()) > 1]
    return len(first) > 1 and bool(labels) and all(0 < len(cell.split()) < 3 for cell in first)


def _separator(start: str, file: Path, quote: str) -> str:
    """Return the separator that gives all first records the same number of fields."""
    candidates = "\t,;|"
    for separator in candidates:
        widths = set()
        with suppress(csv.Error):
            lines = io.StringIO(start, newline="")
            reader = csv.reader(lines, delimiter=separator, quotechar=quote, skipinitialspace=True)
            records = [fields for fields in reader if fields]
            widths = {len(fields) for fields in records[:-1] or records}  # the last may be cut
        if len(widths) == 1 and max(widths) > 1:
            return separator
    return "\t" if ".tsv" in file.suffixes or (".csv" not in file.suffixes and "\t" in start) else ","


def _records(file: Path, encoding: str, separator: str, quote: str, quoting: Any) -> Iterator[Record]:
    """Yield the rows of a file, except blank lines."""
    csv.field_size_limit(1 << 24)
    line, width = 1, 0
    with data_errors(file, encoding), open_text(file, encoding) as lines:
        how: dict[str, Any] = {"delimiter": separator, "quotechar": quote, "quoting": quoting}
        reader = csv.reader(iter(lines.readline, ""), strict=True, skipinitialspace=True, **how)
        try:
            for fields in reader:
                width = width or len(fields)
                if fields and len(fields) != width:
                    found = f"{len(fields)} field{'s' * (len(fields) != 1)}, expected {width}"
                    what = f"line {line} has {found} as in the first"
                    cure = f"quote texts that hold the separator {shown(separator)}, or set another, data.separator="
                    raise DataError(f"{file}: {what}; {cure}")
                if fields:
                    yield Record(fields, line)
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{file}: the row that starts in line {line} cannot be read: {error}") from error
