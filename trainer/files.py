"""Write files atomically, and read and write the JSON of runs."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file, folder or link made there replaces `path` when the block ends.

    If the block raises or the process is killed, `path` stays as it was. The temporary name is `.<process>-<name>`, so
    that it keeps the suffix. `durable` also syncs content and name to the disk.
    """
    part = path.with_name(f".{os.getpid()}-{path.name}")
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
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON, atomically; NaN and infinity become text."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def finite(content: Any, *, null: bool = False) -> Any:
    """Return `content` with NaN and infinity, which JSON lacks, as text or, for other programs, null."""
    if isinstance(content, dict):
        return {str(key): finite(value, null=null) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value, null=null) for value in content]
    if isinstance(content, float) and content - content != 0:
        return None if null else str(content)
    return content
