"""Which column of a table holds texts, and which their labels."""

import re
from contextlib import suppress
from typing import Any

from trainer.data._fasttext import TOLD
from trainer.data._json import is_json
from trainer.data._textfile import listed, shown
from trainer.data._texts import HEAD, LABEL_NAMES, TEXT_NAMES, TextTable, open_texts
from trainer.errors import DataError

LEAST_TEXT = 15  # bytes of a text, on average; labels and categories are shorter


def text_and_label(table: TextTable, text: str | None, label: str | None) -> tuple[int, int, list[str]]:
    """Return the places of text and label, by name, by number or as the file suggests, and notes on the choice.

    Raises:
        DataError: they are not clear.
    """
    whole = [name.lower() for name in table.names]
    parts = [name.rpartition(".")[2] for name in whole]  # of objects in objects
    by_name = [
        next((lower.index(name) for lower in (whole, parts) for name in names if name in lower), None)
        for names in (TEXT_NAMES, LABEL_NAMES)
    ]
    at, of = (table.place(given) if given else found for given, found in zip((text, label), by_name, strict=True))
    if len(table.names) == 2 and at is None and of is None:
        distinct = [len({*table.column(place)}) for place in (0, 1)]
        at = int(distinct[0] < distinct[1])  # several texts share a label, but not several labels a text
    if len(table.names) == 2:
        at = 1 - of if at is None and of is not None else at
        of = 1 - at if of is None and at is not None else of
    if len(table.names) < 2:
        cure = "" if is_json(table.path) else "; data.separator= sets what separates them"
        raise DataError(f"{table.path}: line 1 has 1 field, expected 2: text and label{cure}")
    if at is None or of is None or at == of:
        raise DataError(
            f"{table.path}: which column is text, which label? "
            f"Columns: {listed(table.names, 20)}; try {_suggestion(table)}"
        )
    chosen = [f"{what} {shown(table.names[place])}" for what, place in (("text", at), ("label", of))]
    if table.header or (at, of) != (0, 1):
        return at, of, [f"columns: {' and '.join(chosen)} of {len(table.names)}{table.told}"]
    return at, of, []


def are_clear(path: str) -> bool:
    """Return whether it is clear which columns of a file are text and label, or why it cannot be read."""
    try:
        table = open_texts(path, most=HEAD)
    except DataError:
        return True
    with suppress(DataError):
        text_and_label(table, None, None)
        return True
    return False


def likely_texts(path: str, **written: Any) -> tuple[bool, str]:
    """Return whether a table surely is of texts and labels, and the settings that read it so; none if it is not.

    Texts are of several words and make up half of the file, whose head is read.
    """
    with suppress(DataError):
        table = open_texts(path, most=HEAD, **written)
        if table.told == TOLD:
            return True, ""
        sizes = [sum(len(cell.encode()) for cell in table.column(place)) for place in range(len(table.names))]
        at = sizes.index(max(sizes))
        is_prose = any(" " in cell.strip() or not cell.isascii() for cell in table.column(at))
        if len(sizes) < 2 or not is_prose or sizes[at] < max(LEAST_TEXT * len(table.rows), sum(sizes) / 2):
            return False, ""
        with suppress(DataError):
            return text_and_label(table, None, None)[0] == at, _suggestion(table)
        return False, _suggestion(table)
    return False, ""


def _suggestion(table: TextTable) -> str:
    """Return settings that choose the column with the longest cells, and the one with the fewest values."""
    cells = [table.column(place) for place in range(len(table.names))]
    at = max(range(len(cells)), key=lambda place: sum(map(len, cells[place])))
    several = [place for place in range(len(cells)) if place != at and len({*cells[place]}) > 1]
    of = min(several, key=lambda place: len({*cells[place]}), default=len(cells) - 1)
    names = [name if re.fullmatch(r"\w+", name) else f"'{name}'" for name in (table.names[at], table.names[of])]
    return f"data.text={names[0]} data.label={names[1]}"
