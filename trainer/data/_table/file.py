"""Find out how a file of delimited text is written, and read it into a pandas frame.

Whatever is wrong with the file is a DataError that names the line; an invalid option is a ValueError.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data._table.encoder import is_number
from trainer.data._textfile import cleaned, data_errors, head, is_numeral, listed, open_text, shown
from trainer.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

LARGE, ROWS = 2**24, 2**17  # bytes from which a file is read in parts, and rows of a part
CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "point": "."}
MISSING = ["?"]  # marks a missing cell, besides an empty one and pandas' own: NA, NaN, null, None, ...


@dataclass(frozen=True)
class TableFile:
    """A table's file, its format, and the names of all columns in order; made by `open_table`."""

    path: Path
    encoding: str
    separator: str
    decimal: str
    header: bool
    names: tuple[str, ...]

    def read(self, text: Sequence[str] = ()) -> pd.DataFrame:
        """Read all rows, numbered from 0; missing cells are NaN.

        A column holds numbers (true and false are 1 and 0) or else, as all in `text` do, categories: its words.
        """
        import pandas as pd

        with data_errors(self.path, self.encoding), warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # a first row is too long: see below
            try:
                # Reading numbers in parts saves a third of the memory. A part does not show all categories of a text.
                in_parts = not text and self.path.stat().st_size > LARGE
                frame = self._parsed((), chunksize=ROWS) if in_parts else None
                frame = self._parsed(text) if frame is None else frame
            except pd.errors.ParserError as error:
                if "out of memory" in str(error):  # nothing is wrong with the file, and reading it again takes minutes
                    raise MemoryError(str(error)) from error
                raise self._mistake(str(error)) from error
            if not len(frame):
                raise DataError(f"{self.path}: 0 rows{' below the header' if self.header else ''}")
            # pandas pads short lines, and drops the excess fields of a first row.
            self._check_widths(until=max([0, *frame[self.names[-1]].isna().to_numpy().nonzero()[0][-1:]]))
        for name in self.names:
            if not is_number(frame[name]):
                frame[name] = self._settled(frame[name])
        return frame

    def _parsed(self, text: Sequence[str], **options: Any) -> Any:
        """Parse all rows or, given a `chunksize`, parts of them; return None if a part holds more than numbers."""
        import pandas as pd

        with open_text(self.path, self.encoding) as file:
            read = pd.read_csv(
                file,
                sep=self.separator,
                decimal=self.decimal,
                header=0 if self.header else None,
                names=list(self.names),
                index_col=False,
                dtype={name: str for name in text if name in self._places},
                na_values=MISSING,
                skipinitialspace=True,
                low_memory=False,
                **options,
            )
            if isinstance(read, pd.DataFrame):
                return read
            parts = []
            for part in read:
                if not all(is_number(part[name]) for name in self.names):
                    return None
                parts.append(part)
            return pd.concat(parts, ignore_index=True) if parts else None

    def _settled(self, cells: pd.Series) -> pd.Series | pd.Categorical:
        import pandas as pd

        codes, values = pd.factorize(cells)
        if pd.api.types.infer_dtype(values) not in ("string", "empty"):  # truth values, or very long integers
            numbers = [float(value) if abs(value) < 1e300 else math.inf for value in values]
            return pd.Series(np.append(numbers, np.nan)[codes])
        words = pd.Series(values, dtype=object).str.strip().replace("", None)
        if self.decimal == ",":
            words = words.str.replace(r"^([-+]?\d*),(\d+)$", r"\1.\2", regex=True)
        again, categories = pd.factorize(words)
        return pd.Categorical.from_codes(np.append(again, -1)[codes], categories)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}

    @cached_property
    def _share_of_numbers(self) -> float:
        return sum(map(is_numeral, self.names)) / len(self.names)

    @cached_property
    def _is_data(self) -> bool:
        """Return whether the names are numbers, other than pandas' 0, 1, 2, ... for unnamed columns."""
        first = int(self.names[0]) if self.names[0].isdecimal() else 0
        counts_up = all(name == str(at) for at, name in enumerate(self.names, first))
        return self._share_of_numbers == 1 and not counts_up

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Return the columns without a name in the header: often row numbers, or empty."""
        return tuple(name for at, name in enumerate(self.names, 1) if name == f"column {at}")

    def columns(self, given: Sequence[str | int] | str | int) -> list[str]:
        """Resolve one column or several to their names."""
        names = [given] if isinstance(given, str | int) else given
        return list(dict.fromkeys(map(self.column, names)))

    def column(self, name: str | int) -> str:
        """Resolve a column: a name or, without a header, its number, or -1 for the last one."""
        wanted = str(name)
        if not self.header and wanted.startswith("-") and wanted[1:] in self._places:
            return self.names[int(wanted)]
        if self.header and (self._is_data if wanted in self._places else self._share_of_numbers >= 0.5):
            raise DataError(
                f"{self.path}: no column {wanted!r}: the first line, {listed(self.names)}, looks like data, not a "
                "header; data.header=false data.target=-1 makes the last column the target"
            )
        if wanted not in self._places:
            near = nearest(wanted, self.names)
            near = f"{near} " if near.startswith("did") else ""
            raise DataError(f"{self.path}: no column {wanted!r}; {near}columns: {listed(self.names, 20)}")
        return wanted

    def error(self, row: int, column: str, problem: str) -> DataError:
        """Return an error about a cell of a frame's row, with its line, column and content."""
        with data_errors(self.path, self.encoding):
            line, fields = next(islice(self.records(), row + self.header, None))
        cell = fields[self._places[column]]
        found = shown(cell) if cell.strip() else "an empty cell"
        return DataError(f"{self.path}: line {line}, column {column!r}: {found} {problem}")

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line, from 1, and the fields of each record, including the header."""
        csv.field_size_limit(2**31 - 1)
        with open_text(self.path, self.encoding) as file:
            reader, line = csv.reader(file, delimiter=self.separator, skipinitialspace=True), 1
            for fields in reader:
                if len(fields) > 1 or "".join(fields).strip():  # pandas skips blank lines
                    yield line, fields
                line = reader.line_num + 1

    def _check_widths(self, until: float = math.inf) -> None:
        """Raise a DataError if a row up to `until` has too few or too many fields."""
        for row, (line, fields) in enumerate(self.records(), -int(self.header)):
            if len(fields) != len(self.names):
                breaks = sum(field.count("\n") for field in fields)
                more = f"; a quoted cell extends it to line {line + breaks}" if breaks else ""
                what = f"{len(fields)} fields, expected {len(self.names)} as in the first line"
                raise DataError(f"{self.path}: line {line} has {what}{more}")
            if row >= until:
                return

    def _mistake(self, complaint: str) -> DataError:
        """Turn a complaint of pandas into an error with its line."""
        if "EOF inside string" in complaint:
            *_, (line, fields) = self.records()
            line += sum(field.count("\n") for field in fields[:-1])
            return DataError(f"{self.path}: line {line}: a quote opens here and is never closed")
        self._check_widths()
        return DataError(f"{self.path}: cannot be read as a table: {' '.join(complaint.split())}")


def open_table(
    path: str, *, separator: str = "auto", encoding: str = "utf-8", header: bool = True, decimal: str = "."
) -> TableFile:
    """Detect a file's separator and encoding, and the names of its columns.

    Without a header, columns are named 1, 2, 3, ...; a column without a name is `column 3`, by its position.
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
