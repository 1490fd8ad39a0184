"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"


def sparkline(values: Sequence[float], low: float, high: float, *, width: int = 24, levels: str = BLOCKS) -> str:
    """Draw each value as a letter, from the first of `levels` at `low` to the last at `high`; `?` if not finite.

    More than `width` values are thinned out evenly.
    """
    length = min(width, len(values))
    kept = [values[round(i * (len(values) - 1) / max(1, length - 1))] for i in range(length)]
    top = len(levels) - 1
    scale = top / (high - low) if high > low else 0.0
    return "".join(levels[min(top, max(0, round((v - low) * scale)))] if math.isfinite(v) else "?" for v in kept)
