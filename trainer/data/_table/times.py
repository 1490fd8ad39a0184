"""Recognise numbers that write times, such as 20240131: as one number they say little to a model."""

from __future__ import annotations

from itertools import groupby

import numpy as np

LAYOUTS = ("yyyymmdd", "ddmmyyyy", "mmddyyyy", "yymmdd", "yyyymm", "yyyymmddHHMM", "yyyymmddHHMMSS")
BOUNDS = {"m": (1, 12), "d": (1, 31), "H": (0, 23), "M": (0, 59), "S": (0, 60)}
YEARS = {2: (0, 99), 4: (1900, 2100)}  # by the number of digits
DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
UNIX = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
UNIX_FROM, UNIX_TO = 631_152_000.0, 2_240_611_200.0  # 1990 and 2041, in seconds
NEVER = 9999  # the year of a day that is not known yet
LEAST, SAMPLE = 5, 1000  # different values, as a few may look like times by chance; values that are tried first


def layout_of(values: np.ndarray) -> str:
    """Return how all numbers `(N,)` write times, such as `yyyymmdd` or `Unix seconds`; empty if they do not.

    Unix times count from 1970, and are taken for such from 1990 to 2041. Zeros and 99991231 may be among them.
    """
    values = values[~np.isnan(values) & (values != 0)]
    if np.isinf(values).any():
        return ""
    values = values[values // 10_000 != NEVER]
    if len(np.unique(values[:SAMPLE])) < LEAST:
        return ""
    low, high = values.min(), values.max()
    for unit, scale in UNIX.items():
        if UNIX_FROM * scale <= low and high <= UNIX_TO * scale:
            return f"Unix {unit}"
    if low < 0 or high >= 1e14 or (values % 1).any():
        return ""
    whole = values.astype(np.int64)
    return next((layout for layout in LAYOUTS if _fits(whole[:SAMPLE], layout) and _fits(whole, layout)), "")


def _fits(values: np.ndarray, layout: str) -> bool:
    """Return whether all numbers, of which a leading zero is lost, are days or times of this layout."""
    if values.min() < 10 ** (len(layout) - 2):
        return False
    fields: dict[str, np.ndarray] = {}
    for letter, group in reversed([(letter, len([*same])) for letter, same in groupby(layout)]):
        values, fields[letter] = np.divmod(values, 10**group)
        low, high = YEARS[group] if letter == "y" else BOUNDS[letter]
        if not ((low <= fields[letter]) & (fields[letter] <= high)).all():
            return False
    return not values.any() and ("d" not in fields or bool((fields["d"] <= DAYS[fields["m"] - 1]).all()))
