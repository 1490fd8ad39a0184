"""Find out from its beginning how a file of delimited text is written."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import islice
from pathlib import Path

from trainer.data._table.file import TableFile
from trainer.data._textfile import cleaned, data_errors, head, is_numeral, shown
from trainer.errors import DataError

CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "point": "."}


def open_table(
    path: str, *, separator: str = "auto", encoding: str = "utf-8", header: bool = True, decimal: str = "."
) -> TableFile:
    """Detect a file's separator and encoding, and the names of its columns.

    Without a header, columns are named 1, 2, 3, ...; a column without a name is `column 3`, by its position.

    Raises:
        DataError: no such file, an empty file, not text, a duplicate name, or a single column.
        ValueError: an unknown encoding, or an invalid separator or decimal sign.
    """
    separator, decimal = CHARACTERS.get(separator, separator), CHARACTERS.get(decimal, decimal)
    if (separator != "auto" and len(separator) != 1) or decimal not in (".", ","):
        raise ValueError(
            f"separator={separator!r}, decimal={decimal!r}: expected auto, a character or one of {[*CHARACTERS]}"
        )
    file = Path(path)
    text, encoding = head(file, encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    if separator == "auto":
        separator = _sniffed(text, "\t,;|" if ".tsv" in file.suffixes else ",;\t|")
    unnamed = TableFile(file, encoding, separator, decimal, header, ())
    with data_errors(file, encoding):
        line, fields = next(unnamed.records())
    names = [cleaned(name, most=1000) or f"column {at}" if header else str(at) for at, name in enumerate(fields, 1)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        places = " and ".join(str(at) for at, other in enumerate(names, 1) if other == name)
        hint = "; if that is data, set data.header=false" if is_numeral(name) else ""
        raise DataError(f"{path}: line {line}: {count} columns are called {name!r}, columns {places}{hint}")
    if len(names) == 1 and "\n" in fields[0]:
        raise DataError(f"{path}: line {line}: a quote opens here and is never closed")
    if len(names) == 1:
        raise DataError(
            f"{path}: line {line} has one column, {shown(fields[0])}; if {shown(separator)} is not the separator, "
            "set data.separator=space, tab, ..."
        )
    return TableFile(file, encoding, separator, decimal, header, tuple(names))


def _sniffed(text: str, candidates: str) -> str:
    """Return the separator that splits each of the first records into most fields."""

    def score(separator: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        widths = [len(fields) for fields in islice(reader, 10) if fields]
        return min(widths), widths[0]

    return max(candidates, key=score)
