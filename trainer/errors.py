"""The errors that a user can cause, with their exit codes.

    DltrainError            1   an unexpected error, or results that `dltrain reproduce` could not reproduce
    ├── ConfigError         2   an invalid key, option or value
    ├── DataError           3   a data file or table that is missing or invalid
    ├── CheckpointError     4   saved weights that are missing, damaged or from another model
    ├── NumericalError      5   a loss that is not finite
    ├── FileSystemError     6   no space, no permission, no such folder
    ├── RunFolderError      7   a run folder that is in use or not empty
    ├── SweepError          8   a sweep with failed jobs
    └── OutOfMemory         9   a model or batch that does not fit in memory

Each message is one line: what is wrong, where (key, file, line, column), the value found, what was expected, what to
try. Any other exception exits with 1 and leaves its traceback in the run's log. 130 is Ctrl-C, 143 SIGTERM,
129 SIGHUP.
"""

import difflib
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import category

UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's categories of control characters, surrogates and separators
JOINERS = "\u200c\u200d"  # of letters and emoji
OF_CONFIGS = ("hydra", "omegaconf", "yaml")  # libraries whose errors are about what a config says
MOST_NAMES = 20  # to choose from, in a message
NO_MEMORY = ("can't allocate memory", "failed to map segment", "Cannot allocate memory", "std::bad_alloc")


class DltrainError(Exception):
    """An error whose message is meant for the user; `code` is the process's exit code."""

    code = 1


class ConfigError(DltrainError):
    """An invalid key, option or value."""

    code = 2


class DataError(DltrainError):
    """A data file or table that is missing or invalid."""

    code = 3


class CheckpointError(DltrainError):
    """Saved weights that are missing, damaged or from another model."""

    code = 4


class NumericalError(DltrainError):
    """A loss that is not finite."""

    code = 5


class FileSystemError(DltrainError):
    """No space, no permission, no such folder."""

    code = 6


class RunFolderError(DltrainError):
    """A run folder that is in use or not empty."""

    code = 7


class SweepError(DltrainError):
    """A sweep with failed jobs."""

    code = 8


class OutOfMemory(DltrainError):  # noqa: N818 - the field's own term
    """A model or batch that does not fit in memory."""

    code = 9


STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def stops() -> list[int]:
    """Return the signals that stop a run, which is saved first; under `nohup` a lost terminal does not.

    There are none outside the main thread, nor any that a library in C handles, since that could not be restored.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    now = {number: signal.getsignal(number) for number in STOPS}
    return [n for n in STOPS if now[n] is not None and (n in STOPS[:2] or now[n] is not signal.SIG_IGN)]


class Stopped(BaseException):
    """A signal stopped the run between two updates; `where` says at which, and `code` is the process's exit code."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted" if signum == signal.SIGINT else "terminated")
        self.code, self.where = 128 + signum, ""

    def __str__(self) -> str:
        return f"{super().__str__()} {self.where}".strip()


Halt = Callable[[int, float], bool]  # epoch, best monitored value so far -> whether to save the run and stop there


class Halted(BaseException):
    """A sweep stopped a job after an epoch, for now or for good; `about` holds the job's results so far."""

    code = 75  # EX_TEMPFAIL: the job can be resumed

    def __init__(self, epoch: int, about: Mapping[str, Any]) -> None:
        super().__init__(f"halted after epoch {epoch}")
        self.about = {"epochs": epoch, **about}


def never(epoch: int, best: float) -> bool:
    """Return False: the neutral `Halt`."""
    return False


def near(name: str, valid: Iterable[str]) -> list[str]:
    """Return up to three valid names that have this one as a part or a beginning, or else are spelled like it."""
    names, word = sorted(set(map(str, valid))), name.lower()
    parts = [n for n in names if word in re.split(r"\W|_", n.lower()) or (len(word) > 2 and n.lower().startswith(word))]
    return parts[:3] or difflib.get_close_matches(word, names, 3, cutoff=0.54)


def nearest(name: str, valid: Iterable[str], prefix: str = "") -> str:
    """Return the end of a message about an unknown name: the closest valid names, or else all of them."""
    names = sorted(set(map(str, valid)))
    if found := near(name, names):
        return f"did you mean {' or '.join(prefix + n for n in found)}?"
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return f"choose from {', '.join(prefix + n for n in names[:MOST_NAMES])}{more}" if names else "none available"


def printable(text: str) -> str:
    """Show control characters, except line ends and tabs: a name in a file could hold some for the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or category(c) not in UNSAFE or c in JOINERS else repr(c)[1:-1] for c in text)


def as_line(code: int, message: str) -> str:
    """Format an error for stderr, in one line whatever the message holds."""
    return f"dltrain: error[{code}]: {printable(' '.join(message.split()))}"


def reason(error: Exception) -> str:
    """Return the message of a component's error and, if the user's own file raised it, where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    place = f" ({Path(last.filename).name}, line {last.lineno})" if Path.cwd() == Path(last.filename).parent else ""
    return f"{kind}{str(error).splitlines()[0] if str(error) else 'no message'}{place}"


def check_new(path: Path) -> None:
    """Raise FileSystemError if `path`, which the user named, already exists."""
    if path.exists():
        raise FileSystemError(f"{path.absolute()} already exists and is not overwritten; choose another output=")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a FileSystemError that names `path`."""
    try:
        yield
    except OSError as error:
        raise FileSystemError(f"{path.absolute()}: {error.strerror or error}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; libraries raise errors of many kinds then."""
    is_named = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return is_named or any(words in str(error) for words in NO_MEMORY)


def known(
    error: BaseException, place: str = "", cure: str = "; use a smaller model, or less data"
) -> DltrainError | None:
    """Return the error to show for one whose cause lies outside the program: memory, files, configs, encodings."""
    if isinstance(error, DltrainError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(f"out of memory{cure}")
    if isinstance(error, OSError):
        return FileSystemError(f"{error.filename or place}: {error.strerror or error}".removeprefix(": "))
    if type(error).__module__.partition(".")[0] in OF_CONFIGS:
        key = getattr(error, "full_key", None)
        return ConfigError(f"{f'{key}: ' if key else ''}{str(error).partition('    full_key')[0]}")
    if isinstance(error, RecursionError):
        return ConfigError("something is nested too deeply, or refers to itself")
    if isinstance(error, UnicodeError) or "null byte" in str(error):
        return ConfigError(f"invalid text: {error}")
    if "determine home directory" in str(error):
        return ConfigError("a path starts with ~ and an unknown user name")
    return None


def for_the_user(error: Exception, log: Path, batch_size: int | str, accumulate: int) -> DltrainError:
    """Return the error to show for what ended a run, whose `log` has the traceback."""
    cure = "use a smaller model"
    if batch_size == "full":
        cure = "try data.batch_size=1000"
    elif isinstance(batch_size, int) and batch_size > 1:
        cure = f"data.batch_size={batch_size // 2} accumulate={accumulate * 2} makes the same updates with less memory"
    shown = known(error, str(log.parent), f" with data.batch_size={batch_size}; {cure}")
    return shown or DltrainError(f"unexpected {type(error).__name__}: {error}; the traceback is in {log}")
