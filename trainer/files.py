"""Write files atomically and never through links, and read them without waiting; read and write the JSON of runs."""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NOFOLLOW, NONBLOCK = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)  # Windows has neither
PART = ".part-"  # how temporary names start
VALUES, DEPTH = 100_000, 32  # at most, in a YAML file
BYTES = 2**26  # at most, in a file of a run that is read whole


def regular(path: str | Path, flags: int) -> int:
    """Open a regular file: the `opener` for files below a folder that a stranger may have filled.

    Nothing is written through a link, and nothing waits for the other end of a pipe.

    Raises:
        OSError: it is a link to write through, or no regular file.
    """
    is_written = flags & (os.O_WRONLY | os.O_RDWR)
    try:
        handle = os.open(path, flags | NONBLOCK | (NOFOLLOW if is_written else 0), 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(error.errno, "a link or a pipe, expected a file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "expected a file", str(path))
    return handle


def expanded(path: str) -> str:
    """Return a path with its `~` and `$VARIABLES` replaced."""
    return os.path.expanduser(os.path.expandvars(path))


def read(path: Path, most: int = BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than `most` bytes.
    """
    with open(path, "rb", opener=regular) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"has {size:,} bytes, expected at most {most:,}", str(path))
        content = file.read(most + 1)  # some files of the system claim to be empty, and have no end
    if len(content) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return content


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file, folder or link made there replaces `path` when the block ends.

    If the block raises or the process is killed, `path` stays as it was. The temporary name is random, as processes of
    two containers may have the same number, and ends in `path`'s name, so that it keeps the suffix. `durable` also
    syncs content and name to the disk.
    """
    part = path.with_name(f"{PART}{secrets.token_hex(6)}-{path.name}")
    try:
        yield part
        if durable:
            sync(part)
        os.replace(part, path)
        if durable:
            sync(path.parent)
    except BaseException:
        remove(part)
        raise


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def remove(*paths: Path) -> None:
    """Delete files, links, and folders with their content; errors are ignored."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if the file is missing or unreadable."""
    try:
        content = json.loads(read(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_yaml(path: Path, most: int = 2**20, values: int = VALUES) -> Any:
    """Return the content of a YAML file as plain data.

    Raises:
        OSError: it cannot be read, or has more than `most` bytes.
        ValueError: it is not YAML, is nested too deeply, or has more than `values` values once anchors are replaced.
    """
    import yaml

    text, loader = read(path, most), getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is ten times as fast
    depth = 0
    try:
        for event in yaml.parse(text, loader):  # libyaml's own recursion could overflow the stack
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise ValueError(f"nested more than {DEPTH} deep")
        content = yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if _size(content, {}) > values:
        raise ValueError(f"expands to more than {values:,} values")
    return content


def _size(content: Any, known: dict[int, int]) -> int:
    """Return the number of values with every anchor replaced by what it stands for, counting each only once."""
    if not isinstance(content, (dict, list)):
        return 1
    if id(content) not in known:
        known[id(content)] = VALUES  # in case it holds itself
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(content)]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON, atomically; NaN and infinity become text."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


def finite(content: Any, *, null: bool = False) -> Any:
    """Return `content` with NaN and infinity, which JSON lacks, as text or, for other programs, null."""
    if isinstance(content, dict):
        return {str(key): finite(value, null=null) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value, null=null) for value in content]
    if isinstance(content, float) and content - content != 0:
        return None if null else str(content)
    return content
