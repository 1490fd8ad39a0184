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
    rf"(?P<outer>(?:{CURRENCY}(?= ?\())?) ?(?P<open>\(?)(?P<sign>[-+]?) ?(?P<before>{CURRENCY}?) ?(?P<sign2>[-+]?)"
    rf"(?P<body>\d[\d.,' ]*(?<! )|[.,]\d+)(?P<exponent>(?:[eE][-+]?\d+)?)(?P<sign3>(?: ?-(?= |$))?)"
    rf" ?(?P<after>{UNIT})(?P<close>\)?)"
)
GROUPS = {sign: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(sign)}\d{{3}})+") for sign in ",.' "}
LAKHS = re.compile(r"[1-9]\d?(?:,\d\d)+,\d{3}")  # as in India: 12,34,567
MILLIONS = re.compile(r"\d{3},\d{3}|\d+(?:,\d{3}){2,}")  # of groups of three, and not as in India
EXCLUDE = (("lakhs", "millions"), ("trailing minus", "leading minus"))  # of each pair, a column has one
POINTS = re.compile(r"[^\d.]*[1-9]\d{0,2}(\.\d{3}){2,}[^\d.]*")  # 1.234.567, which makes 4.297 of its column 4297
LESS_THAN_ONE = re.compile(r"\D*0?[.,]")  # the sign is no thousands separator
TWO_READINGS = re.compile(r"\D*[1-9]\d{0,2}[.,]\d{3}\D*")
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
    example: str = ""  # words that are not written plainly, with their values; empty if there are none
    cure: str = ""  # setting that reads the words that are no numbers
    differ: bool = False  # whether most words are numbers, but in several units
    unclear: tuple[int, str] | None = None  # a word that is one of two numbers, and settings that decide which


class _Word(NamedTuple):
    unit: str
    group: str  # its thousands separator
    value: float
    forms: frozenset[str]  # those of `EXCLUDE`, and brackets


class _Signs(NamedTuple):
    own: list[int]  # places of words that are numbers with the decimal sign of the style alone
    unlike: list[int]  # of those that are two different numbers: 1,234 or 1.234
    others: dict[int, _Word]  # of those that are numbers with the other sign alone
    other: Style


def read_numbers(words: Sequence[str], counts: np.ndarray, style: Style, *, known: bool = False) -> Reading:
    """Read a column's distinct words, `counts` cells of each; it is `known` whether they are numbers at all.

    Signs, separators and units are read where they agree; a word that differs from most is bad. Both decimal signs may
    occur if each word has one reading only.
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
    signs = _signs(found, words, style)
    are_joined, unclear = _join_the_others(found, signs, words, counts, style)
    _exclude(found, words, counts, known)
    shares: dict[str, int] = {}
    for one, count in zip(found, counts, strict=True):
        if one and (one.unit or one.value):  # zero needs no unit
            shares[one.unit] = shares.get(one.unit, 0) + int(count)
    if not shares:
        return Reading(values, bad, cure=_decimal_cure(signs, words, counts, style))
    unit = max(shares, key=shares.__getitem__)
    read = [one if one and (one.unit == unit or one.value == 0) else None for one in found]
    bad = np.array([one is None for one in read], bool) & ~missing
    if bad.any() and not (are_joined or unclear) and (cure := _decimal_cure(signs, words, counts, style)):
        return Reading(values, np.isnan(values) & ~missing, cure=cure)
    differ = counts[bad].sum() > 0 and sum(shares.values()) > counts[~missing].sum() / 2 and len(shares) > 1
    if not unclear and _is_ambiguous([one.group for one in read if one], words, style):
        first = next(place for place, one in enumerate(read) if one and one.group)
        unclear = first, "is a whole number with data.thousands=comma, a fraction with data.decimal=comma"
    said = _examples(words, read, np.isnan(values))
    values = np.array([one.value if one else np.nan for one in read])
    return Reading(values, bad, unit, said, differ=differ, unclear=unclear)


def _signs(found: Sequence[_Word | None], words: Sequence[str], style: Style) -> _Signs:
    """Find out which words have commas or points, and which decimal sign they can have."""
    other = Style("," if style.decimal == "." else ".", "auto" if style.thousands else "")
    marked = [place for place, word in enumerate(words) if "," in word or "." in word]
    own = [place for place in marked if found[place]]
    unlike = [place for place in own if style.thousands and TWO_READINGS.fullmatch(words[place])]
    others = {place: one for place in marked if not found[place] and (one := _parsed(words[place], other))}
    return _Signs([place for place in own if place not in {*unlike}], unlike, others, other)


def _join_the_others(
    found: list[_Word | None], signs: _Signs, words: Sequence[str], counts: np.ndarray, style: Style
) -> tuple[bool, tuple[int, str] | None]:
    """Add to those `found` the words that are numbers with the other decimal sign alone, if both signs occur.

    Return whether some were added and, if another word has two readings, its place and the settings that decide.
    """
    added, unlike = signs.others, signs.unlike
    are_both = {",", "."} <= {sign for place in unlike for sign in words[place]}
    must_choose = style.thousands == "auto" and bool(unlike)
    if not (added if signs.own or style.decimal == "," else not added and are_both):
        return False, None
    are_few = bool(added) and is_few(np.isin(np.arange(len(words)), [*added]), counts)
    if must_choose and are_few and not any(LESS_THAN_ONE.match(words[place]) for place in added):
        return False, None  # rather mistakes
    for place, one in added.items():
        found[place] = one
    if not must_choose:
        return bool(added), None
    word = words[unlike[0]]
    names = {",": ("comma", "point"), ".": ("point", "comma")}["," if "," in word else "."]
    decimal = "" if (style.decimal == ".") == ("," in word) else f"data.decimal={names[1]} "
    values = [one.value for one in (found[unlike[0]], _parsed(word, signs.other)) if one]
    broken, whole = sorted(values, key=abs)
    cure = f"is {whole:.12g} with {decimal}data.thousands={names[0]}, {broken:.12g} with data.thousands=none"
    return bool(added), (unlike[0], cure)


def _exclude(found: list[_Word | None], words: Sequence[str], counts: np.ndarray, known: bool) -> None:
    """Remove the rarer of two forms that exclude each other, and a trailing minus of what may be grades: 1, 1-."""

    def remove(form: str) -> None:
        found[:] = [None if one and form in one.forms else one for one in found]

    for pair in EXCLUDE:
        sums = {
            form: sum(int(n) for one, n in zip(found, counts, strict=True) if one and form in one.forms)
            for form in pair
        }
        if all(sums.values()):
            remove(min(sums, key=sums.__getitem__))
    trailing = [word for word, one in zip(words, found, strict=True) if one and "trailing minus" in one.forms]
    are_grades = all(len(word) == 2 for word in trailing) or any(re.fullmatch(r"\d+\+", word) for word in words)
    if are_grades and not known:
        remove("trailing minus")


def _examples(words: Sequence[str], read: Sequence[_Word | None], are_odd: np.ndarray) -> str:
    """Return odd words with their values, one of each form, three at most."""
    forms: dict[tuple[str, frozenset[str]], str] = {}
    for word, one, is_odd in zip(words, read, are_odd, strict=True):
        if one and is_odd:
            forms.setdefault((one.group, one.forms - {"leading minus", "millions"}), f"{word} is {one.value:.12g}")
    return ", ".join([*forms.values()][:3])


def is_few(bad: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether the words that are no numbers look like mistakes among numbers."""
    return bad.sum() <= STRAYS or counts[bad].sum() <= SHARE * counts.sum()


def _parsed(word: str, style: Style) -> _Word | None:
    """Read one word; None if it is not a number."""
    found = NUMBER.fullmatch(word.translate(SIGNS).strip())
    if not found or bool(found["open"]) != bool(found["close"]):
        return None
    marks = [*filter(None, (found["open"], found["sign"], found["sign2"], found["sign3"].strip()))]
    if len(marks) > 1 or (found["open"] and found["exponent"]):
        return None
    body, group = found["body"], ""
    whole, point, fraction = body.partition(style.decimal)
    forms = {"brackets"} if found["open"] else {"trailing minus"} if found["sign3"] else set()
    forms |= {"leading minus"} if "-" in marks and not found["sign3"] else set()
    if not whole.isdigit():
        is_lakhs = bool("," in style.groups and LAKHS.fullmatch(whole))
        forms |= {"lakhs"} if is_lakhs else {"millions"} if MILLIONS.fullmatch(whole) else set()
        for sign in style.groups:
            if GROUPS[sign].fullmatch(whole) or (sign == "," and is_lakhs):
                whole, group = whole.replace(sign, ""), sign
    if (
        (whole and not whole.isdecimal())
        or (fraction and not fraction.isdecimal())
        or (point and not fraction and not whole)
        or (group and found["exponent"])
    ):
        return None
    is_negative = any(mark in "-(" for mark in marks)
    value = float(f"{'-' if is_negative else ''}{whole or 0}.{fraction or 0}{found['exponent']}")
    units = [unit for unit in (found["outer"], found["before"], found["after"]) if unit]
    return _Word(" ".join(units), group, value, frozenset(forms))


def _decimal_cure(signs: _Signs, words: Sequence[str], counts: np.ndarray, style: Style) -> str:
    """Return the setting that reads a comma as the decimal sign, unless words look like mistakes among others."""
    if style.decimal == "," or len(signs.others) <= len(signs.own):
        return ""
    is_rare = sum(counts[place] for place in signs.others) <= SHARE * counts.sum()
    if is_rare and any("." in words[place] for place in signs.unlike):  # that would make thousands of them
        return ""
    is_sure = sum(bool(LESS_THAN_ONE.match(words[place])) for place in signs.others) > STRAYS
    grouped = sum("," in words[place] for place in signs.unlike)
    return COMMAS if style.separator != "," or is_sure or grouped <= len(signs.others) else ""


def _is_ambiguous(groups: Sequence[str], words: Sequence[str], style: Style) -> bool:
    """Return whether every cell has one comma and three digits in a file whose columns commas do not separate."""
    if style.decimal != "." or style.thousands != "auto" or style.separator == ",":
        return False
    return {*groups} == {","} and not any(word.count(",") > 1 or "." in word for word in words)
