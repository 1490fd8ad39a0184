"""rich's console as the command line uses it."""

import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console
from rich.segment import Segment

from trainer.errors import printable
from trainer.view import streams


def redraws() -> bool:
    """Whether standard output is a terminal that redraws lines; notebooks and CI only add to them."""
    only_adds = "JPY_PARENT_PID" in os.environ or "CI" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
    return sys.stdout.isatty() and not only_adds


class Terminal(Console):
    """Plain text and tables, whose control characters are shown; only rich's own reach the terminal.

    If the reader, such as `head`, is gone, the run continues in silence.
    """

    def __init__(self, file: IO[str] | None = None, **options: Any) -> None:
        if file or not redraws():
            options["force_terminal"] = False
        options |= {"force_jupyter": False, "highlight": False, "markup": False}
        super().__init__(file=file or streams.unescaped(), **options)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            part if part.control else Segment(printable(part.text), part.style) for part in buffer
        )

    def on_broken_pipe(self) -> None:
        """Discard all further output; rich would exit."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
