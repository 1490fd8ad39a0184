"""Numbers, times and paths as a person reads them. Nothing here imports torch."""

from __future__ import annotations

import shlex
from pathlib import Path


def number(value: float) -> str:
    """Four digits, as a person would write them."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """In the largest unit of which there is more than one and a half."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def shown(path: Path) -> str:
    """A path as it can be copied into a shell, from the working folder where it lies below it."""
    is_below = path.is_absolute() and path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if is_below else path))
