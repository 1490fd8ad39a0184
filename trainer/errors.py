"""The errors that a user can cause, with their exit codes.

    DltrainError            1   an error that nobody thought of; what reproduce has not found again
    ├── ConfigError         2   a key, an option or a value that cannot be
    ├── DataError           3   a file or a table that cannot be believed
    ├── CheckpointError     4   saved weights that are missing, broken or of another model
    ├── NumericalError      5   a loss that is not finite
    ├── FileSystemError     6   no space, no permission, no such folder
    ├── RunFolderError      7   a run folder that is somebody else's
    ├── SweepError          8   a sweep in which jobs failed
    └── OutOfMemory         9   a model or a batch that the machine cannot hold

Each is one line: what, where (key, file, line, column), the value found, what was expected, what to try.
Everything else that escapes ends with exit code 1 and its traceback in the run's log. 130 is an interrupt, 143 SIGTERM.
"""

import difflib
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class DltrainError(Exception):
    """An error whose message is meant for the user; `code` is the process's exit code."""

    code = 1


class ConfigError(DltrainError):
    """A key, an option or a value that cannot be."""

    code = 2


class DataError(DltrainError):
    """A file or a table that cannot be believed."""

    code = 3


class CheckpointError(DltrainError):
    """Saved weights that are missing, broken or of another model."""

    code = 4


class NumericalError(DltrainError):
    """A loss that is not finite."""

    code = 5


class FileSystemError(DltrainError):
    """No space, no permission, no such folder."""

    code = 6


class RunFolderError(DltrainError):
    """A run folder that is somebody else's."""

    code = 7


class SweepError(DltrainError):
    """A sweep in which jobs failed."""

    code = 8


class OutOfMemory(DltrainError):  # noqa: N818 - as the field says it
    """A model or a batch that the machine cannot hold."""

    code = 9


class Stopped(BaseException):
    """A signal stops what stands between two updates, `where` it says; `code` is the process's exit code."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted" if signum == signal.SIGINT else "terminated")
        self.code, self.where = 128 + signum, ""

    def __str__(self) -> str:
        return f"{super().__str__()} {self.where}".strip()


Halt = Callable[[int, float], bool]  # epoch, best value of the monitor so far -> whether to stop there, with all saved


class Halted(BaseException):
    """A sweep stops a job after an epoch, for now or for good. `about` is what is known of it by then."""

    code = 75  # EX_TEMPFAIL: it may be gone on with

    def __init__(self, epoch: int, about: Mapping[str, Any]) -> None:
        super().__init__(f"halted after epoch {epoch}")
        self.about = {"epochs": epoch, **about}


def never(epoch: int, best: float) -> bool:
    """Halt after no epoch: the neutral `Halt`."""
    return False


def nearest(name: str, valid: Iterable[str], prefix: str = "") -> str:
    """The end of a message about an unknown name: the nearest valid ones, else all there are."""
    names = sorted(set(map(str, valid)))
    near = difflib.get_close_matches(name, names, 3, cutoff=0.54)
    if near:
        return f"did you mean {' or '.join(prefix + n for n in near)}?"
    return f"there are {', '.join(prefix + n for n in names)}" if names else "there are none"


def as_line(code: int, message: str) -> str:
    """What stderr is told, in one line whatever is in the message."""
    words = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    return f"dltrain: error[{code}]: {words}"


def reason(error: Exception) -> str:
    """The message of an error from a component and, if it is the user's own, the line that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    place = f" ({Path(last.filename).name}, line {last.lineno})" if Path.cwd() == Path(last.filename).parent else ""
    return f"{kind}{str(error).splitlines()[0] if str(error) else 'no message'}{place}"


def check_new(path: Path) -> None:
    """Raise a FileSystemError if there is something at a path that the user has named."""
    if path.exists():
        raise FileSystemError(f"{path.absolute()} is there already and is not overwritten; output= names another file")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a FileSystemError that names `path`."""
    try:
        yield
    except OSError as error:
        raise FileSystemError(f"{path.absolute()}: {error.strerror or error}") from error


def for_the_user(error: Exception, folder: Path, batch_size: int | str, accumulate: int) -> DltrainError:
    """The one line about what ended the run in `folder`; the traceback is in its log."""
    if isinstance(error, DltrainError):
        return error
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in str(error):
        cure = "a smaller model needs less"
        if batch_size == "full":
            cure = "data.batch_size=1000 needs less"
        elif isinstance(batch_size, int) and batch_size > 1:
            half = f"data.batch_size={batch_size // 2} accumulate={accumulate * 2}"
            cure = f"{half} makes the same updates with less"
        return OutOfMemory(f"out of memory with data.batch_size={batch_size}; {cure}")
    if isinstance(error, OSError):
        return FileSystemError(f"{error.filename or folder}: {error.strerror or error}")
    return DltrainError(f"unexpected {type(error).__name__}: {error}; the traceback is in {folder / 'train.log'}")
