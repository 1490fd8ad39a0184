"""Format numbers, times and paths for a person. Nothing here imports torch."""

import math
import shlex
from pathlib import Path


def number(value: float) -> str:
    """Format with about four significant digits."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.4g}"


def bounds(low: float, high: float) -> str:
    """Format an interval with two significant digits of its width."""
    decimals = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 4
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def cut(text: str, most: int) -> str:
    """Cut a text to `most` characters, and say so with dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def duration(seconds: float) -> str:
    """Format in the largest unit that fits at least one and a half times."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def shown(path: Path) -> str:
    """Quote a path for a shell, relative to the working folder if it is inside."""
    is_below = path.is_absolute() and path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if is_below else path))
