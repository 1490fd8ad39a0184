"""Read a file of delimited text into a pandas frame; `open_table` finds out how it is written.

Whatever is wrong with the file is a DataError that names the line; an invalid option is a ValueError.
"""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from trainer.data._table.encoder import is_number
from trainer.data._table.numerals import MARKS, Style, written
from trainer.data._table.titles import are_names, cut_from, numbers_in
from trainer.data._textfile import cleaned, data_errors, is_numeral, listed, open_text, shown
from trainer.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

SOME, NEAR = 1000, 20  # rows that show how cells are written, and those among which a header may lie
LARGE, ROWS = 2**24, 2**17  # bytes from which a file is read in parts, and rows of a part


@dataclass(frozen=True)
class TableFile:
    """A table's file, its format, and the names of all columns in order; made by `open_table`."""

    path: Path
    encoding: str
    header: bool
    style: Style
    marks: tuple[str, ...] = ()  # of missing cells in all columns, besides empty ones
    names: tuple[str, ...] = ()
    preamble: int = 0  # lines above the header
    has_units: bool = False  # whether a line of units follows the header
    quote: str = '"'  # of cells
    content: str = ""  # of a file of JSON, as CSV: a line for each object below the header

    @property
    def separator(self) -> str:
        """Return what separates columns."""
        return self.style.separator

    @property
    def decimal(self) -> str:
        """Return the decimal sign."""
        return self.style.decimal

    @property
    def notes(self) -> list[str]:
        """Return notes on lines that are neither header nor rows, and on quotes, where they are not the usual ones."""
        lines = [f"{self.preamble} above the header"] * bool(self.preamble) + ["units below it"] * self.has_units
        quotes = ["cells are in single quotes"] if self.quote == "'" else []
        return [*([f"lines left out: {' and '.join(lines)}"] if lines else []), *quotes]

    def read(self, text: Sequence[str] = ()) -> pd.DataFrame:
        """Read all rows, numbered from 0; missing cells are NaN.

        A column holds numbers (true and false are 1 and 0) or, if any cell is no plain number and in `text`, its words
        as categories.
        """
        import pandas as pd

        with data_errors(self.path, self.encoding), warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # a first row is too long: see below
            try:
                # Reading numbers in parts saves a third of the memory. A part does not show all categories of a text.
                in_parts = not text and self.path.stat().st_size > LARGE
                frame = self._in_parts() if in_parts else None
                if frame is None:
                    [frame] = self._parsed(text)
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

    def spellings(self, column: str) -> Counter[str]:
        """Count the cells of a column as they are written."""
        counts: Counter[str] = Counter()
        for part in self._parsed((column,), usecols=[column], chunksize=ROWS):
            counts.update(part[column].dropna().str.strip().value_counts().to_dict())
        return counts

    def _opened(self) -> TextIO:
        return io.StringIO(self.content, newline="") if self.content else open_text(self.path, self.encoding)

    def _parsed(self, text: Sequence[str], marks: Iterable[str] = (), **options: Any) -> Iterator[pd.DataFrame]:
        """Yield all rows at once or, given a `chunksize`, in parts."""
        import pandas as pd

        with self._opened() as file:
            for _ in range(self._above):
                file.readline()
            read = pd.read_csv(
                file,
                sep=self.separator,
                decimal=self.decimal,
                header=None,
                names=list(self.names),
                index_col=False,
                dtype={name: str for name in text if name in self._places},
                keep_default_na=False,
                na_values=["", *self.marks, *marks],
                skipinitialspace=True,
                quotechar=self.quote,
                skip_blank_lines=len(self.names) > 1,
                low_memory=False,
                **options,
            )
            yield from [read] if isinstance(read, pd.DataFrame) else read

    def _in_parts(self) -> pd.DataFrame | None:
        """Parse all rows in parts; return None if there is more than numbers."""
        import pandas as pd

        parts = []
        for part in self._parsed((), written(MARKS), chunksize=ROWS):
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
        words = pd.Series(values, dtype=object).str.strip().replace("", None).str.normalize("NFC")
        again, categories = pd.factorize(words)
        return pd.Categorical.from_codes(np.append(again, -1)[codes], categories)

    @cached_property
    def _above(self) -> int:
        """Return the number of lines above the first row."""
        rows = self.records()
        if self.header:
            next(rows)
        return next(rows, (self.preamble + 2, []))[0] - 1

    @cached_property
    def _sample(self) -> list[list[str]]:
        with data_errors(self.path, self.encoding):
            return [fields for _, fields in islice(self.records(), int(self.header), SOME)]

    def sample(self, column: str) -> list[str]:
        """Return the cells of a column in the first rows, as they are written."""
        at = self._places[column]
        return [fields[at].strip() for fields in self._sample if at < len(fields)]

    def code(self, column: str) -> str:
        """Return the first cell of a `sample` with a leading zero, such as 007; empty if there is none."""
        cells = (cell for cell in self.sample(column) if cell[:1] == "0")
        return next((cell for cell in cells if re.fullmatch(r"0\d*[1-9]\d*", cell)), "")

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}

    @cached_property
    def _numbers(self) -> tuple[float, bool]:
        return numbers_in(self.names)

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
        if self.header:
            self._check_header(wanted)
        if wanted not in self._places:
            near = nearest(wanted, self.names)
            near = f"{near} " if near.startswith("did") else ""
            raise DataError(f"{self.path}: no column {wanted!r}; {near}columns: {listed(self.names, 20)}")
        return wanted

    def _check_header(self, wanted: str) -> None:
        """Raise a DataError if the first line cannot be the header, given a column that it should name."""
        is_known = wanted in self._places
        if not is_known and not self.content:
            with data_errors(self.path, self.encoding):
                rows = islice(self.records(), 1, NEAR)
                line = next((line for line, cells in rows if wanted in map(cleaned, cells) and are_names(cells)), 0)
            if line:
                where = f"no column {wanted!r} in the first line, but in line {line}"
                raise DataError(f"{self.path}: {where}; {cut_from(self.path, line)}")
        share, is_data = self._numbers
        others = [is_numeral(name) for name in self.names if name != wanted] if is_data else []
        if (is_data and 2 * sum(others) >= len(others)) if is_known else share >= 0.5:
            raise DataError(
                f"{self.path}: no column {wanted!r}: the first line, {listed(self.names)}, looks like data, not a "
                "header; data.header=false data.target=-1 makes the last column the target"
            )

    def error(self, row: int, column: str, problem: str) -> DataError:
        """Return an error about a cell of a frame's row, with its line, column and content."""
        return DataError(f"{self.path}: {self.place(row, column, problem)}")

    def place(self, row: int, column: str, problem: str) -> str:
        """Return what is wrong with a cell, with its line, column and content."""
        line, cell = self.cell(row, column)
        found = shown(cell) if cell.strip() else "an empty cell"
        where = f"object {line - 1}" if self.content else f"line {line}"
        return f"{where}, column {column!r}: {found} {problem}"

    def cell(self, row: int, column: str) -> tuple[int, str]:
        """Return the line of a frame's row, and its cell in the column as it is written."""
        with data_errors(self.path, self.encoding):
            line, fields = next(islice(self.records(), row + self.header, None))
        return line, fields[self._places[column]]

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """Map rows of a frame to their lines, or the numbers of their objects."""
        wanted, found = {*rows}, {}
        with data_errors(self.path, self.encoding):
            for row, (line, _) in enumerate(self.records(), -int(self.header)):
                if row in wanted:
                    found[row] = line - bool(self.content)
                    if len(found) == len(wanted):
                        break
        return found

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line, from 1, and the fields of each record: the header, if there is one, and the rows."""
        csv.field_size_limit(2**31 - 1)
        with self._opened() as file:
            for _ in range(self.preamble):
                file.readline()
            reader = csv.reader(file, delimiter=self.separator, quotechar=self.quote, skipinitialspace=True)
            line, number = self.preamble + 1, 0
            for fields in reader:
                # pandas skips blank lines, but for those of a single column, which are cells.
                if len(fields) > 1 or "".join(fields).strip() or (len(self.names) == 1 and number):
                    if number != 1 or not self.has_units:
                        yield line, fields or [""]
                    number += 1
                line = self.preamble + reader.line_num + 1

    def _check_widths(self, until: float = math.inf) -> None:
        """Raise a DataError if a row up to `until` has too few or too many fields."""
        for row, (line, fields) in enumerate(self.records(), -int(self.header)):
            if len(fields) != len(self.names):
                breaks = sum(field.count("\n") for field in fields)
                more = f"; a quoted cell extends it to line {line + breaks}" if breaks else ""
                what = f"{len(fields)} field{'s' * (len(fields) != 1)}, expected {len(self.names)} as in the first line"
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
