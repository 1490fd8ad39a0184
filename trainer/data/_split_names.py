"""The words that name a split: of a folder, or in a column that says where each row belongs."""

import re

NAMES = {"train": "train|training|trn", "val": "val|valid|validation|dev|eval", "test": "test|testing|tst|holdout"}


def split_named(word: str, fillers: str = "") -> str | None:
    """Return train, val or test, whichever the word names in any usual spelling; `fillers` may stand around it."""
    around = f"(?:{fillers})*" if fillers else ""
    found = (split for split, names in NAMES.items() if re.fullmatch(f"{around}(?:{names}){around}", word.lower()))
    return next(found, None)
