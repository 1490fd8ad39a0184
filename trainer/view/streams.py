"""Standard output and error of the command line: no control characters of others, and no failure of theirs."""

import io
import os
import sys
from typing import Any

from trainer.errors import printable


class Output(io.TextIOWrapper):
    """A standard stream that shows control characters instead of passing them on.

    Where it cannot be written to, such as on a full disk, it notes the error and goes on: training matters more than
    what it prints. A reader that is gone, as with `| head`, raises BrokenPipeError.
    """

    failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write text with its control characters shown."""
        return self.write_unescaped(printable(text))

    def write_unescaped(self, text: str) -> int:
        """Write text with terminal sequences that we made."""
        return self._tried(super().write, text)

    def flush(self) -> None:
        """Flush, unless it has failed."""
        self._tried(super().flush)

    def _tried(self, action: Any, *arguments: str) -> Any:
        if self.failure is None:
            try:
                return action(*arguments)
            except BrokenPipeError:
                raise
            except OSError as error:
                self.failure = error
        return sum(map(len, arguments))


def open_streams() -> None:
    """Wrap the standard streams; closed ones become /dev/null, or the next file opened would become one of them."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdout = _wrapped(sys.stdout, 1, "replace")
    sys.stderr = _wrapped(sys.stderr, 2, "backslashreplace")


def _wrapped(stream: Any, handle: int, errors: str) -> Output:
    encoding = stream.encoding if stream else "utf-8"
    is_terminal = os.isatty(handle)
    return Output(open(handle, "wb", closefd=False), encoding, errors, line_buffering=is_terminal or handle == 2)


class _Unescaped:
    """Standard output for rich, which escapes the parts of its text itself."""

    def __init__(self) -> None:
        self.stream = sys.stdout  # which rich replaces while it shows a bar

    def write(self, text: str) -> int:
        return self.stream.write_unescaped(text) if isinstance(self.stream, Output) else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unescaped() -> Any:
    """Return standard output as a file that passes terminal sequences on."""
    return _Unescaped()


def forgive() -> None:
    """Forget that standard output could not be written to."""
    if isinstance(sys.stdout, Output):
        sys.stdout.failure = None


def failure() -> OSError | None:
    """Return what went wrong with standard output, if anything did."""
    return getattr(sys.stdout, "failure", None)
