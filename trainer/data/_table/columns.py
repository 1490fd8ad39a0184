"""Decide what the columns of a file hold, numbers or words, and gather all that is wrong with their cells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainer.data._table.encoder import LARGEST, is_number
from trainer.data._table.features import SAMPLE
from trainer.data._table.file import TableFile
from trainer.data._table.numerals import MARKS, Reading, is_few, read_numbers
from trainer.data._textfile import bracketed, cleaned, listed
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

POINTED = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")  # thousands, or a fraction
TOLD = 10  # problems told at once


class Problem(NamedTuple):
    """What is wrong, with its place, and the setting that would help."""

    message: str
    key: str = ""
    value: str | tuple[str, ...] = ""


@dataclass
class Table:
    """Columns that hold float64 numbers, NaN where missing, or categories; and what was found in them."""

    frame: pd.DataFrame
    problems: dict[str, Problem] = field(default_factory=dict)  # column -> what is wrong with its first bad cell
    units: dict[str, str] = field(default_factory=dict)  # column of numbers -> sign or unit that its cells have
    signs: dict[str, str] = field(default_factory=dict)  # column of numbers -> how a cell was read
    words: dict[str, str] = field(default_factory=dict)  # column of text -> why it does not hold numbers
    marks: dict[str, str] = field(default_factory=dict)  # column of text -> cells that might be meant as missing
    gaps: dict[str, str] = field(default_factory=dict)  # column of numbers -> words that were read as missing
    doubts: dict[str, str] = field(default_factory=dict)  # column of numbers -> what else they may mean
    others: dict[str, pd.Series] = field(default_factory=dict)  # the columns that nobody asked for

    def notes(self, used: Sequence[str]) -> list[str]:
        """Return notes on how the columns in use were read."""
        kinds = [
            ("read as numbers", self.signs, ""),
            ("read as text", self.words, ""),
            ("check", self.doubts, ""),
            ("words, not missing cells", self.marks, "; data.missing_marks=[{}] makes them missing"),
        ]
        notes = []
        for what, found, cure in kinds:
            cells = [f"{name} ({found[name]})" for name in used if name in found]
            first = next((found[name].split()[0] for name in used if name in found), "")
            notes += [f"{what}: {listed(cells)}{cure.format(first)}"] if cells else []
        return notes


def read_table(
    file: TableFile, columns: Sequence[str], *, text: Sequence[str] = (), numbers: Sequence[str] = ()
) -> Table:
    """Read columns of a file; those in `text` hold words whatever they look like, and those in `numbers` numbers."""
    frame = file.read(text)
    found = Table(frame[[*columns]], others={name: frame[name] for name in file.names if name not in columns})
    for name in columns:
        cells = found.frame[name]
        if not is_number(cells) and name not in text:
            cells = _as_numbers(cells, file, found, must=name in numbers)
        if is_number(cells):
            if (far := (cells.abs() > LARGEST).to_numpy()).any():
                row = int(far.argmax())
                place = file.place(row, name, f"is not a finite number up to {LARGEST:.2g}")
                cell = file.cell(row, name)[1].strip()
                cure = ("missing_marks", (cell,)) if len(cell) < 20 else ()
                found.problems[name] = Problem(place, *cure)
            elif name not in found.problems:
                _doubt(cells, file, found)
        elif marks := _marks(cells):
            found.marks[name] = marks
        found.frame[name] = cells
    return found


def _marks(cells: pd.Series) -> str:
    """Count the words of a column that are marks of missing cells."""
    return ", ".join(f"{word} {count:,}" for word, count in cells.value_counts().items() if word.casefold() in MARKS)


def _doubt(cells: pd.Series, file: TableFile, found: Table) -> None:
    """Note numbers that may be codes, marks of missing cells, or thousands; these are a problem if they must be."""
    name, values = str(cells.name), cells.to_numpy(np.float64)  # from uint64, too
    if code := file.code(name):
        found.doubts[name] = f"{code} is {int(code)}; data.text={bracketed([name])} keeps codes"
    for sign in (-1, 1):
        signed = sign * values[~np.isnan(values)]
        high = signed.max(initial=0)
        count = (signed == high).sum()
        if re.fullmatch("9+", f"{high:.17g}") and 1 < count < len(signed) and signed[signed < high].max() < high / 10:
            mark = f"{sign * high:.0f}"
            found.doubts[name] = f"{mark} in {count:,} cells; data.missing_marks=[{mark}] makes it missing"
    sizes, style = np.abs(values), file.style
    broken = sizes % 1 > 0
    if style.separator == "," or style.decimal == "," or style.thousands != "auto" or not broken.any():
        return
    row = int(broken.argmax())
    if not POINTED.fullmatch(example := file.cell(row, name)[1].strip()) or (sizes >= 1000).any():
        return
    words = [word for word in file.spellings(name) if word.casefold() not in MARKS]
    if all(POINTED.fullmatch(word) or word.isdecimal() for word in words):
        if any(map(str.isdecimal, words)) and any("." in word and word.endswith("0") for word in words):
            reads = "data.decimal=comma reads thousands, data.thousands=none fractions"
            place = file.place(row, name, f"has three digits after the point, and other cells have no point; {reads}")
            found.problems[name] = Problem(place, "decimal", "comma")
        else:
            found.doubts[name] = f"{example} is a fraction; data.decimal=comma reads thousands"


def _as_numbers(cells: pd.Series, file: TableFile, found: Table, *, must: bool) -> pd.Series:
    """Return words as float64 numbers if most are or `must` be numbers, else unchanged; a stray word is a problem."""
    import pandas as pd

    name, counts = str(cells.name), cells.value_counts()
    words, number = [*map(str, counts.index)], counts.to_numpy()
    step = 1 if must else 1 + len(words) // SAMPLE
    reading = read_numbers(words[::step], number[::step], file.style, known=must)
    if step > 1 and 2 * number[::step][reading.bad].sum() < number[::step].sum():
        reading, step = read_numbers(words, number, file.style, known=must), 1
    number, bad = number[::step], reading.bad
    if bad.any() and not must:
        total = number.sum()
        if reading.cure:
            is_text = 2 * number[read_numbers(words, number, replace(file.style, decimal=",")).bad].sum() >= total
        elif is_text := (is_most := 2 * number[bad].sum() >= total) or not is_few(bad, number):
            if reading.differ:
                found.words[name] = f"units differ: {listed(words, 3)}"
            elif not is_most:
                found.words[name] = f"{number[bad].sum():,} of {total:,} cells are not numbers"
            elif 2 * sum(map(_looks_like_a_number, words)) > len(words):
                found.words[name] = f"not read as numbers, such as {cleaned(words[0], 20)}"
        if is_text:
            return cells
    if step > 1:
        return cells
    codes = pd.Index(words, dtype=object).get_indexer(cells.cat.categories.astype(object))
    codes = np.append(codes, -1)[cells.cat.codes]  # (N,) into words, -1 where missing
    if reading.unclear:  # a choice that nobody else can make
        place, cure = reading.unclear
        found.problems[name] = Problem(file.place(int((codes == place).argmax()), name, cure))
    elif bad.any():
        row = int(np.append(bad, False)[codes].argmax())
        strays = [word for word, is_bad in zip(words, bad, strict=True) if is_bad]
        found.problems[name] = _stray(file, row, name, reading, strays)
    if marks := _marks(cells):
        found.gaps[name] = marks
    if reading.example:
        found.signs[name] = reading.example
        found.units[name] = reading.unit
    return pd.Series(np.append(reading.values, np.nan)[codes], cells.index, name=name)


def _looks_like_a_number(word: str) -> bool:
    return any(map(str.isdigit, word)) and not any(map(str.isalpha, word))


def _stray(file: TableFile, row: int, name: str, reading: Reading, words: Sequence[str]) -> Problem:
    """Return the problem of words among numbers, the first of them in `row`."""
    if reading.cure:
        place = file.place(row, name, f"is not a number; {reading.cure} reads such numbers")
        return Problem(place, "decimal", "comma")
    unit = f" in {reading.unit}" if reading.unit else ""
    more = f", nor {'is' if len(words) == 2 else 'are'} {len(words) - 1:,} other word{'s' * (len(words) > 2)}"
    message = f"is not a number{unit}{more if len(words) > 1 else ''}"
    text = f"data.text={bracketed([name])}"
    if len(words) <= 3 and all(re.fullmatch(r"[^\W_][\w .,-]{0,19}|\D{1,20}", word) for word in words):
        cure = f"; data.missing_marks={bracketed(words)} reads it as missing; if the column is text, set {text}"
        return Problem(file.place(row, name, message + cure), "missing_marks", tuple(words))
    return Problem(file.place(row, name, f"{message}; if the column is text, set {text}"), "text", (name,))


def refusal(path: object, problems: Iterable[Problem], given: Mapping[str, Any] | None = None) -> DataError:
    """Return one error for all problems of a file, with a command that would work: `given` and the cures."""
    problems = list(problems)
    more = f"; and {len(problems) - TOLD:,} more problems" if len(problems) > TOLD else ""
    message = f"{path}: {'; '.join(problem.message for problem in problems[:TOLD])}{more}"
    if given is None or not all(problem.key for problem in problems):
        return DataError(message)
    settings: dict[str, Any] = dict(given)
    for key in dict.fromkeys(problem.key for problem in problems):
        values = [problem.value for problem in problems if problem.key == key]
        if isinstance(values[0], str):
            settings[key] = values[0]
        else:
            settings[key] = list(dict.fromkeys([*settings.get(key, ()), *(v for value in values for v in value)]))
    return DataError(f"{message}; {command(settings)}")


def command(settings: Mapping[str, Any]) -> str:
    """Return the command line that trains with these settings of data=csv."""

    def written(value: Any) -> str:
        if isinstance(value, list | tuple):
            return bracketed(value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text if re.fullmatch(r"[\w./:@+-]+", text) else repr(text)

    return " ".join(["dltrain data=csv", *(shlex.quote(f"data.{key}={written(v)}") for key, v in settings.items())])
