"""Read text files, gzipped or not; whatever is wrong with them is a DataError that names the line."""

import codecs
import gzip
import io
import re
import shlex
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trainer.errors import DataError

HEAD, LINES = 1 << 16, 50  # bytes, and lines, that are inspected first
SINGLE = re.compile(r"(?:^|[,;\t|]) *'(?:[^']|'')*' *(?=[,;\t|]|$)")  # a cell in single quotes
SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods")
BINARY = {  # first bytes -> what such a file is, and how to get what it holds
    b"PK\x03\x04": "a zip archive; unpack it first: unzip {name}",
    b"PAR1": "a Parquet file; save it as .csv with pandas: read_parquet({name!r}).to_csv('data.csv', index=False)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet or document; save it as .csv first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first: 7z x {name}",
    b"Rar!": "a rar archive; unpack it first: unrar x {name}",
    b"SQLite f": "a database; save the table as .csv first",
    b"%PDF": "a PDF; save its text or table as .csv first",
    b"\x89PNG": "an image; data=image_folder reads folders of images",
    b"\xff\xd8\xff": "an image; data=image_folder reads folders of images",
}


class Text(io.TextIOWrapper):
    """An open file that refuses NUL bytes, which parsers keep in a cell or end it at."""

    def read(self, size: int | None = -1, /) -> str:
        """Read at most `size` characters, by default all."""
        text = super().read(size)
        if "\0" in text:
            raise UnicodeError
        return text


def open_text(path: Path, encoding: str) -> Text:
    """Open a file as text, with its line ends unchanged; use this inside `data_errors`."""
    with path.open("rb") as file:
        packed = path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"
    opened: Any = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115 - closed with the text
    return Text(opened, encoding, newline="")


def head(path: Path, encoding: str) -> tuple[str, str]:
    """Return the beginning of a text, in whole lines if possible, and its encoding: `utf-8-sig` if it has a BOM."""
    try:
        "".encode(encoding)
    except LookupError as error:
        raise ValueError(f"encoding={encoding} is not known; try utf-8, latin-1, cp1252 or utf-16") from error
    if is_url(str(path)):
        raise DataError(f"{path}: {wrong_kind(path)}")
    if not path.is_file():
        what = "a folder, not a file; data=image_folder reads a folder of images" if path.is_dir() else "no such file"
        raise DataError(f"{path.absolute()}: {'not a file' if path.exists() and not path.is_dir() else what}")
    if what := wrong_kind(path):
        raise DataError(f"{path}: {what}")
    with data_errors(path, encoding):
        with open_text(path, encoding) as file:
            start = bytes(file.buffer.read(HEAD))
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and "16" not in encoding:
            raise DataError(f"{path}: the text is UTF-16; data.encoding=utf-16 reads it")
        if start.startswith(codecs.BOM_UTF8):
            encoding = "utf-8-sig"
        text = codecs.getincrementaldecoder(encoding)().decode(start)
        if "\0" in text:
            raise UnicodeError
    return (text if len(start) < HEAD else text[: text.rfind("\n") + 1] or text), encoding


def is_url(path: str) -> bool:
    """Return whether a path is a URL, even one that lost a slash as a path."""
    return bool(re.match(r"[a-z0-9]{2,}:/", path, re.IGNORECASE))


def wrong_kind(path: Path) -> str:
    """Say what a file is that is never read, and the way out; nothing if it may be text."""
    name = str(path)
    if is_url(name):
        return f"a URL; download it first: curl -LO {re.sub(':/+', '://', name, count=1)}"
    if name.lower().endswith(SPREADSHEETS):
        return "a spreadsheet; save it as .csv first"
    if name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        return f"an archive; unpack it first: tar -xf {name}"
    if not path.is_file():
        return ""
    with data_errors(path, ""), path.open("rb") as file:
        start = file.read(8)
    return next((what.format(name=name) for first, what in BINARY.items() if start.startswith(first)), "")


def read_lines(path: Path, encoding: str) -> list[str]:
    r"""Return all lines of a text file, split at \n and \r\n alone; blank ones count."""
    _, encoding = head(path, encoding)
    with data_errors(path, encoding), open_text(path, encoding) as file:
        lines = re.split(r"\r?\n", file.read())
    return lines if lines[-1] else lines[:-1]


def quote_of(text: str) -> str:
    """Return what quotes cells, given the beginning of a file: `'` if most lines have such cells, and none others."""
    lines = [line for line in text.splitlines() if line.strip()][:LINES]
    are_single = 2 * sum(bool(SINGLE.search(line)) for line in lines) > len(lines)
    return "'" if are_single and '"' not in "".join(lines) else '"'


@contextmanager
def data_errors(path: Path, encoding: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading a file into a DataError of one line."""
    try:
        yield
    except EOFError as error:
        raise DataError(f"{path}: the gzip file ends early; it is incomplete") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file, or broken ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise DataError(f"{path}: {_not_text(path, encoding)}") from error


def _not_text(path: Path, encoding: str) -> str:
    """Describe the first NUL of a file or, if there is none, the first byte that cannot be decoded."""
    start, bad = b"", ""
    name = encoding.upper().removesuffix("-SIG")
    with open_text(path, "latin-1") as file:
        for line, text in enumerate(file, 1):
            raw = text.encode("latin-1")
            start = start or raw[:8]
            if "\0" in text and "16" not in encoding and "32" not in encoding:
                return f"not text: a NUL byte in line {line}; the file begins with {start!r}"
            try:
                raw.decode(encoding)
            except UnicodeDecodeError as error:
                found = f"byte 0x{raw[error.start]:02x} in line {line}"
                bad = bad or f"not {name} ({found}); for another encoding, set it: data.encoding=latin-1"
            if bad and line >= 100:
                break
    return bad or f"not {name}"


def shown(text: str) -> str:
    """Quote a cell for a message: one line, control characters escaped, shortened."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text):,} characters)"


def cleaned(name: str, most: int = 60) -> str:
    """Clean a name for display: single spaces, control characters escaped, shortened."""
    name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(name[: 4 * most].split()))
    return name if len(name) <= most else f"{name[: most - 3]}..."


def listed(items: Sequence[Any], most: int = 5, of: Callable[[Any], str] = str) -> str:
    """List the first items, and the number of the others."""
    return ", ".join(map(of, items[:most])) + (f" and {len(items) - most:,} more" if len(items) > most else "")


def bracketed(items: Sequence[Any]) -> str:
    """Write a list as the command line reads it, with quotes where they are needed."""
    plain = re.compile(r"[A-Za-z_][\w-]*")
    return f"[{','.join(item if plain.fullmatch(item) else repr(item) for item in map(str, items))}]"


def stem(path: Path) -> str:
    """Return the name of a file without its suffixes, for that of a file that a user makes of it."""
    return re.sub(r"(\.\w{1,7})?(\.gz)?$", "", path.name)


def python_line(code: str) -> str:
    """Write a command line that runs Python code, whose strings are in single quotes."""
    is_special = re.search(r'[$`!"]|\\\\', code)
    quoted = shlex.quote(code) if is_special else '"' + code + '"'
    return f"python -c {quoted}"


def rare(counts: Mapping[str, int], examples: str) -> list[str]:
    """Return a note on classes with few examples, given the number of each; of a few classes, one may be a typo."""
    names = [name for name, count in counts.items() if count < 5]
    typos: dict[str, str] = {}
    for name in counts if len(counts) <= 20 else ():
        others = {other.lower(): other for other in counts if counts[other] >= 20 * counts[name]}
        near = get_close_matches(name.lower(), others, 1, cutoff=0.75)
        if near and not is_numeral(name) and abs(len(near[0]) - len(name)) < 2:
            typos[name] = f"; a typo of {others[near[0]]}?"
    found = [f"{name} ({counts[name]}{typos.get(name, '')})" for name in dict.fromkeys([*typos, *names])]
    return [f"classes with few {examples}: {listed(found)}"] if found else []


def alike(names: Sequence[str]) -> list[str]:
    """Return a note on classes that differ in case alone."""
    lower = Counter(map(str.casefold, names))
    found = [shown(name) for name in names if lower[name.casefold()] > 1]
    return [f"labels that differ in case alone: {listed(found)}"] if found else []


def is_numeral(name: str) -> bool:
    """Return whether a name is a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True
