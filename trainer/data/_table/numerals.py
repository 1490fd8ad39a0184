"""Numbers as people write them: thousands separators, percent, currencies, units, signs, marks of missing cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

# Marks of a missing cell in a column of numbers, whatever their case; among words they are words.
MARKS = frozenset(["na", "n/a", "n.a.", "nan", "null", "none", "nil", "missing", "<na>", "?", "-", "--", ".", "—"])
MARKS |= {"#n/a", "#na", "#nv", "#n/d", "#value!", "#div/0!", "#num!", "#ref!"}  # of spreadsheets
COMMAS = "data.decimal=comma"  # the cure of commas that are decimal signs
TRUTH = {"true": 1.0, "false": 0.0}
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{FIGURE DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}", "-"),
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}", " "),
        **dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{PRIME}", "'"),
    }
)
CURRENCY = (
    r"(?:[A-Z]{0,3}[$€£¥₹₽₩₺₴₫฿¢₪₦]|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|Rs\.?|Fr\.|kr\.?)"
)
LETTERS = r"[^\W\d_]"
UNIT = rf"(?:[%‰°]?{LETTERS}{{0,12}}\.?(?:[²³]|\^?[23](?!\d))?(?:/{LETTERS}{{1,8}}[²³]?)?|{CURRENCY})"
NUMBER = re.compile(
    rf"(?P<open>\(?)(?P<sign>[-+]?) ?(?P<before>{CURRENCY}?) ?(?P<sign2>[-+]?)"
    rf"(?P<body>\d[\d.,' ]*(?<! )|[.,]\d+)(?P<exponent>(?:[eE][-+]?\d+)?) ?(?P<after>{UNIT})(?P<close>\)?)"
)
GROUPS = {sign: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(sign)}\d{{3}})+") for sign in ",.' "}
POINTS = re.compile(r"[^\d.]*[1-9]\d{0,2}(\.\d{3}){2,}[^\d.]*")  # 1.234.567, which makes 4.297 of its column 4297
COMMA = re.compile(r"[^\d,]*\d*,\d+(?:[eE][-+]?\d+)?[^\d,]*")
GROUPED = re.compile(r"[^\d,]*[1-9]\d{0,2},\d{3}[^\d,]*")
POINT = re.compile(r"\D*\d*\.(?:\d\d?|\d{4,})(?:[^\d,][^,]*)?")  # a decimal point
STRAYS, SHARE = 3, 0.05  # distinct words, or the share of cells, up to which words among numbers look like mistakes


@dataclass(frozen=True)
class Style:
    """How numbers are written: the decimal sign; the thousands separator, `auto` or none; what separates columns."""

    decimal: str = "."
    thousands: str = "auto"
    separator: str = ","

    @property
    def groups(self) -> str:
        """Return the thousands separators to look for."""
        return ",.' ".replace(self.decimal, "") if self.thousands == "auto" else self.thousands


def written(marks: Iterable[str]) -> list[str]:
    """Return marks in the usual cases, for a parser that tells them apart."""
    return [
        case
        for mark in sorted(marks)
        for case in dict.fromkeys((mark, mark.upper(), mark.capitalize(), "NaN" if mark == "nan" else mark))
    ]


class Reading(NamedTuple):
    """A column's distinct words read as numbers."""

    values: np.ndarray  # (W,), NaN where missing or no number
    bad: np.ndarray  # (W,), whether a word is not a number
    unit: str = ""  # sign or unit that all cells have
    example: str = ""  # a word that is not written plainly, with its value; empty if there is none
    cure: str = ""  # setting that reads the words that are no numbers
    differ: bool = False  # whether most words are numbers, but in several units


class _Word(NamedTuple):
    unit: str
    group: str  # its thousands separator
    value: float


def read_numbers(words: Sequence[str], counts: np.ndarray, style: Style) -> Reading:
    """Read a column's distinct words, `counts` cells of each.

    Signs, separators and units are read where they agree; a word that differs from most is bad.
    """
    import pandas as pd

    if (style.decimal, style.thousands) == (".", "auto") and any(map(POINTS.fullmatch, words)):
        style = replace(style, decimal=",")
    low = [word.casefold() for word in words]
    missing = np.array([word in MARKS for word in low], bool)
    if not missing.all() and all(word in TRUTH or word in MARKS for word in low):
        return Reading(np.array([TRUTH.get(word, np.nan) for word in low]), np.zeros(len(words), bool))
    texts = pd.Series(list(words), dtype=object)
    if style.decimal == ",":
        texts = texts.where(~texts.str.contains(".", regex=False), "x")  # a point is no decimal sign then
        texts = texts.str.replace(r"^([-+]?\d*),(\d+)", r"\1.\2", regex=True)
    values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
    bad = np.isnan(values) & ~missing
    if not bad.any():
        return Reading(values, bad)
    found = [_parsed(word, style) for word in words]
    shares: dict[str, int] = {}
    for one, count in zip(found, counts, strict=True):
        if one and (one.unit or one.value):  # zero needs no unit
            shares[one.unit] = shares.get(one.unit, 0) + int(count)
    if not shares:
        return Reading(values, bad, cure=_decimal_cure(words, style))
    unit = max(shares, key=shares.__getitem__)
    read = [one if one and (one.unit == unit or one.value == 0) else None for one in found]
    bad = np.array([one is None for one in read], bool) & ~missing
    if bad.any() and (cure := _decimal_cure(words, style)):
        return Reading(values, np.isnan(values) & ~missing, cure=cure)
    values = np.array([one.value if one else np.nan for one in read])
    differ = counts[bad].sum() > 0 and sum(shares.values()) > counts[~missing].sum() / 2 and len(shares) > 1
    groups = [one.group for one in read if one]
    if _is_ambiguous(groups, words, style):
        first = next(word for word, one in zip(words, read, strict=True) if one and one.group)
        cure = f"{first!r} is a whole number with data.thousands=comma, a fraction with data.decimal=comma"
        return Reading(values, ~missing, cure=cure)
    example = next((n for n, one in enumerate(read) if one and (one.unit or one.group)), None)
    if example is None:
        example = next((n for n, one in enumerate(read) if one and words[n].translate(SIGNS) != words[n]), None)
    said = "" if example is None else f"{words[example]} is {values[example]:.12g}"
    return Reading(values, bad, unit, said, differ=differ)


def is_few(bad: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether the words that are no numbers look like mistakes among numbers."""
    return bad.sum() <= STRAYS or counts[bad].sum() <= SHARE * counts.sum()


def _parsed(word: str, style: Style) -> _Word | None:
    """Read one word; None if it is not a number."""
    found = NUMBER.fullmatch(word.translate(SIGNS).strip())
    if not found or bool(found["open"]) != bool(found["close"]) or (found["sign"] and found["sign2"]):
        return None
    if found["open"] and (found["sign"] or found["sign2"] or found["exponent"]):
        return None
    body, group = found["body"], ""
    whole, point, fraction = body.partition(style.decimal)
    if not whole.isdigit():
        for sign in style.groups:
            if GROUPS[sign].fullmatch(whole):
                whole, group = whole.replace(sign, ""), sign
    if (
        (whole and not whole.isdecimal())
        or (fraction and not fraction.isdecimal())
        or (point and not fraction and not whole)
        or (group and found["exponent"])
    ):
        return None
    is_negative = "-" in (found["sign"], found["sign2"]) or found["open"]
    value = float(f"{'-' if is_negative else ''}{whole or 0}.{fraction or 0}{found['exponent']}")
    units = [unit for unit in (found["before"], found["after"]) if unit]
    return _Word(" ".join(units), group, value)


def _decimal_cure(words: Sequence[str], style: Style) -> str:
    """Return the setting that reads a comma as the decimal sign, if three digits do not follow nearly every one."""
    commas = [word for word in words if COMMA.fullmatch(word)]
    grouped = sum(bool(GROUPED.fullmatch(word)) for word in commas)
    if style.decimal == "," or len(commas) - grouped <= sum(bool(POINT.fullmatch(word)) for word in words):
        return ""
    return COMMAS if style.separator != "," or 2 * grouped <= len(commas) else ""


def _is_ambiguous(groups: Sequence[str], words: Sequence[str], style: Style) -> bool:
    """Return whether every cell has one comma and three digits in a file whose columns commas do not separate."""
    if style.decimal != "." or style.thousands != "auto" or style.separator == ",":
        return False
    return {*groups} == {","} and not any(word.count(",") > 1 or "." in word for word in words)
