"""What a check has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing to look at: what, how often, where, and what to do about it."""

    kind: str
    what: str
    count: int
    examples: Sequence[str] = ()  # the first of them
    columns: Sequence[str] = ()
    cure: str = ""
    pairs: Sequence[tuple[int, int]] = field(default=(), repr=False)  # examples of a pool, to draw

    def line(self, most: int = 3) -> str:
        """Return it in one line, with at most so many examples."""
        shown = self.examples[:most]
        more = f" and {self.count - len(shown):,} more" if 0 < len(shown) < self.count else ""
        where = f": {', '.join(shown)}{more}" if shown else ""
        return f"{self.what}{where}{f'; {self.cure}' if self.cure else ''}"

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "kind": self.kind,
            "message": self.what,
            "count": self.count,
            "examples": [*self.examples],
            "columns": [*self.columns],
            "cure": self.cure,
        }
