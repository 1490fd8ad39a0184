"""Files of public datasets: downloaded or unpacked whole or not at all, and known by their bytes.

The module's name keeps it out of a config's reach: what is in it writes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic

from trainer.errors import DataError
from trainer.files import replacing

PATIENCE_S = 20  # without a byte, until a download is given up


def download(name: str, root: Path, *, folder: Path, files: str) -> None:
    """Put torchvision's dataset of that name below `root`; `files` are those that belong in `folder`.

    Raises:
        DataError: it did not come, in `PATIENCE_S` without a byte at most.
    """
    from torchvision import datasets

    failures: list[Exception] = []

    def attempt(into: str) -> None:
        try:
            getattr(datasets, name)(into, download=True)
        except Exception as error:
            failures.append(error)

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S / 2)
    try:
        beside = next(parent for parent in (root.absolute(), *root.absolute().parents) if parent.is_dir())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=beside, ignore_cleanup_errors=True) as temporary:
            # A thread: a name server or a firewall that never answers is under no timeout of a socket.
            thread = Thread(target=attempt, args=(temporary,), daemon=True)
            thread.start()
            size, since = 0, monotonic()
            while thread.is_alive():
                thread.join(0.2)
                before, size = size, sum(file.stat().st_size for file in Path(temporary).rglob("*") if file.is_file())
                since = monotonic() if size != before else since
                if monotonic() - since > PATIENCE_S:
                    raise TimeoutError(f"nothing came for {PATIENCE_S} s")
            if failures:
                raise failures[0]
            for file in [path for path in Path(temporary).rglob("*") if path.is_file()]:
                target = root / file.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
    except Exception as error:
        raise DataError(
            f"{name} is not in {folder.absolute()} and could not be downloaded ({' '.join(str(error).split())}); put "
            f"{files} there, name another folder with data.root=, or try data=digits: it is embedded"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all; where nothing may be written, nothing is: it is unpacked again next time."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    if not folder.stat().st_mode & 0o222:
        return  # marked read-only, which does not stop root
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)


def md5(content: bytes) -> str:
    """As torchvision lists it: it tells known files, and is no protection against somebody who forges one."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def looks(content: bytes) -> str:
    """What a file rather is, for the end of a message; empty if that cannot be said."""
    if not content:
        return " (the file is empty)"
    start = content[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return " (looks like HTML)"
    return " (looks like gzip)" if start.startswith(b"\x1f\x8b") else ""
