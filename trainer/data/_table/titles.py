"""Find the header of a table below lines that are none of it, such as a title that a spreadsheet was exported with."""

import csv
import io
import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from trainer.data._table.numerals import MARKS
from trainer.data._textfile import is_numeral, stem

RECORDS, TITLES = 30, 12  # records that are looked at, and lines above a header, at most


def lines_above(text: str, separators: str, quote: str) -> int:
    """Return the number of lines above the header of a table: titles, which are shorter, or leave half of it empty.

    The header is the first full row. It has names only, or years, and numbers below some of the names, unless the
    titles have no separator at all and so cannot be a header.
    """
    return max(_titles(text, separator, quote) for separator in separators)


def _titles(text: str, separator: str, quote: str) -> int:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote, skipinitialspace=True)
    records, above = list[tuple[int, list[str]]](), 0
    for fields in islice(reader, RECORDS):
        if any(field.strip() for field in fields):
            records.append((above, [field.strip() for field in fields]))
        above = reader.line_num
    widths = [len(fields) for _, fields in records]
    (width, _) = Counter(widths).most_common(1)[0] if widths else (0, 0)
    filled = [sum(map(bool, fields)) for _, fields in records]
    full = (n for n in range(len(records)) if widths[n] == width and filled[n] >= max(2, width - 1))
    first = next(full, 0)
    if not 0 < first <= TITLES or len(records) < first + 2:
        return 0
    if any(widths[n] == width and 2 * filled[n] > width for n in range(first)):
        return 0
    rows = [fields for _, fields in records[first + 1 :] if len(fields) == width]
    names = records[first][1]
    is_certain = width > 2 and max(widths[:first]) == 1 and are_names(names) and len({*names}) == width
    return records[first][0] if is_certain or _is_header(names, rows) else 0


def are_names(fields: Sequence[str]) -> bool:
    """Return whether fields may name columns: none is a number, or marks a missing cell; they may be empty."""
    return not any(is_numeral(name) or name.casefold() in MARKS for name in fields if name)


def numbers_in(names: Sequence[str]) -> tuple[float, bool]:
    """Return the share of names that are numbers, and whether they are values of a first row rather than names.

    Names may be 0, 1, 2, ..., as pandas writes for columns without any, or whole years.
    """
    share = sum(map(is_numeral, names)) / len(names)
    first = int(names[0]) if names[0].isdecimal() else 0
    counts_up = all(name == str(at) for at, name in enumerate(names, first))
    is_broken = any(is_numeral(name) and not name.isdecimal() for name in names)
    return share, share >= (0.5 if is_broken else 1) and not counts_up


def cut_from(path: Path, line: int) -> str:
    """Return a command that makes a file of a table in which a line is the first."""
    source, new = (shlex.quote(str(file)) for file in (path, f"{stem(path)}-from-line-{line}.csv"))
    cut = f"gzip -dc {source} | tail -n +{line}" if path.suffix == ".gz" else f"tail -n +{line} {source}"
    return f"{cut} > {new} makes that the first line"


def _is_header(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether fields are names, or years that follow each other, and the rows hold numbers."""
    years = [int(field) for field in fields if field.isdecimal() and 1800 <= int(field) <= 2200]
    if len(years) > 2 and years == [*range(years[0], years[0] + len(years))]:
        return are_names([field for field in fields if not field.isdecimal()])
    has_numbers = any(2 * sum(map(is_numeral, cells)) > len(rows) for cells in zip(*rows, strict=True))
    return has_numbers and are_names(fields)
