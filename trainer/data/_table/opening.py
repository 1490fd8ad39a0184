"""Find out how a table's file is written: encoding, separator, header, lines above it, numbers.

Whatever is wrong with the file is a DataError; an invalid option is a ValueError.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from trainer.data._json import is_json, read_objects
from trainer.data._table.file import TableFile
from trainer.data._table.numerals import GROUPS, Style
from trainer.data._table.titles import cut_from, lines_above
from trainer.data._textfile import cleaned, data_errors, head, is_numeral, listed, python_line, quote_of, shown, stem
from trainer.errors import DataError

SOME = 30  # lines that are looked at
CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "point": ".", "apostrophe": "'"}


def open_table(
    path: str,
    *,
    separator: str = "auto",
    encoding: str = "utf-8",
    header: bool = True,
    decimal: str = ".",
    thousands: str = "auto",
    missing_marks: Sequence[Any] = (),
    single: bool = False,
) -> TableFile:
    """Detect a file's separator and encoding, and the names of its columns.

    Without a header, columns are named 1, 2, 3, ...; a column without a name is `column 3`, by its position. Only a
    `single` column may be all there is.
    """
    separator, decimal = CHARACTERS.get(separator, separator), CHARACTERS.get(decimal, decimal)
    thousands = {"none": "", **CHARACTERS}.get(thousands, thousands)
    if (separator != "auto" and len(separator) != 1) or decimal not in (".", ","):
        raise ValueError(
            f"separator={separator!r}, decimal={decimal!r}: expected auto, a character or one of {[*CHARACTERS]}"
        )
    if thousands not in ("auto", "", *GROUPS) or thousands == decimal:
        same = ", the decimal sign; set data.decimal, too" if thousands == decimal else ""
        raise ValueError(f"thousands={thousands!r}: expected auto, none, comma, point, apostrophe or space{same}")
    file, marks = Path(path).expanduser(), tuple(map(str, missing_marks))
    text, encoding = head(file, encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    if is_json(path, text):
        return _of_json(file, encoding, Style(decimal, thousands), marks)
    quote = quote_of(text)
    preamble, told = _preamble(text, quote) if header else (0, "")
    text = "".join(text.splitlines(keepends=True)[preamble:]) or text
    if separator == "auto":
        separator = told or _sniffed(text, "\t,;|" if ".tsv" in file.suffixes else ",;\t|", decimal, quote)
    style = Style(decimal, thousands, separator)
    unnamed = TableFile(file, encoding, header, style, marks, preamble=preamble, quote=quote)
    with data_errors(file, encoding):
        line, fields = next(rows := unnamed.records())
        has_units = header and _are_units(next(rows, (0, []))[1])
    names = [cleaned(name, most=1000) or f"column {at}" if header else str(at) for at, name in enumerate(fields, 1)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        numbers = [at for at, other in enumerate(names, 1) if other == name]
        places = " and ".join(map(str, numbers)) if count < 4 else listed(numbers)
        cure = "data.header=false" if is_numeral(name) else renamed(unnamed)
        cure = f"if that is data, set {cure}" if is_numeral(name) else cure
        raise DataError(f"{path}: line {line}: {count} columns are called {name!r}, columns {places}; {cure}")
    if len(names) == 1 and "\n" in fields[0]:
        raise DataError(f"{path}: line {line}: a quote opens here and is never closed")
    if len(names) == 1 and not single:
        what = f"if {shown(separator)} is not the separator, set data.separator=space, tab, ..."
        if below := _first_of_several(text):
            what = f"line {preamble + below} has several; {cut_from(file, preamble + below)}"
        raise DataError(f"{path}: line {line} has one column, {shown(fields[0])}; {what}")
    return replace(unnamed, names=tuple(names), has_units=has_units)


def renamed(file: TableFile) -> str:
    """Return a command that makes a file in which each column has a name of its own."""
    how = {"sep": file.separator, "quotechar": file.quote, "skiprows": file.preamble, "encoding": file.encoding}
    usual = {"sep": ",", "quotechar": '"', "skiprows": 0, "encoding": "utf-8"}
    options = "".join(f", {key}={value!r}" for key, value in how.items() if value != usual[key])
    reads = f"pd.read_csv({str(file.path)!r}, dtype=str, keep_default_na=False, skipinitialspace=True{options})"
    new = f"{stem(file.path)}-renamed.csv"
    code = f"import pandas as pd; {reads}.to_csv({new!r}, index=False)"
    return f"{python_line(code)} numbers them in {new}"


def _of_json(file: Path, encoding: str, style: Style, marks: tuple[str, ...]) -> TableFile:
    """Return the objects of a file as a table."""
    names, rows = read_objects(file, encoding)
    content = io.StringIO(newline="")
    csv.writer(content, lineterminator="\n").writerows([names, *(cells for cells, _ in rows)])
    return TableFile(file, encoding, True, style, marks, tuple(names), content=content.getvalue())


def _preamble(text: str, quote: str) -> tuple[int, str]:
    """Return the number of lines above the header, and the separator if Excel's `sep=;` names it.

    Lines that begin with # are left out unless numbers follow: then the last of them may be the header. So are titles.
    """
    lines = text.splitlines(keepends=True)
    if found := re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[0].strip("\ufeff\r\n"), re.IGNORECASE):
        return 1, found[1]
    number = next((n for n, line in enumerate(lines) if not line.startswith("#") and line.strip()), 0)
    if number and any(map(is_numeral, re.split(r"[,;\t|]", lines[number].strip()))):
        number = 0
    return number + lines_above("".join(lines[number:]), ",;\t|", quote), ""


def _first_of_several(text: str) -> int:
    """Return the first line, from 1, from which on all lines have equally many separators; 0 if that is the first."""
    lines = text.splitlines()[:SOME]
    for separator in ",;\t|":
        counts = [line.count(separator) for line in lines]
        first = next((n for n in range(1, len(lines) - 1) if len({*counts[n:]}) == 1), 0)
        if first and counts[first]:
            return first + 1
    return 0


def _are_units(fields: Sequence[str]) -> bool:
    """Return whether a row holds units in brackets, such as [m], or nothing."""
    return any(fields) and all(
        re.fullmatch(r"[\[(](?![\d.,]+[\])])[^\[\]()]*[\])]|", field.strip()) for field in fields
    )


def _sniffed(text: str, candidates: str, decimal: str, quote: str) -> str:
    """Return the separator that splits each of the first records into most fields."""

    def score(separator: str) -> tuple[int, int, bool]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote, skipinitialspace=True)
        widths = [len(fields) for fields in islice(reader, 10) if fields]
        return min(widths), widths[0], separator != decimal

    return max(candidates, key=score)
