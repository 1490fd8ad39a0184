"""Public datasets: downloaded or unpacked whole or not at all, and known by their bytes. A failure is a DataError.

The module's name keeps it out of a config's reach: what is in it writes.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from trainer.errors import DataError
from trainer.files import replacing

PATIENCE_S = 20  # without a byte, until a download is given up
T = TypeVar("T")


def download(name: str, mirrors: Sequence[str], md5s: Mapping[str, str], folder: Path, *, files: str) -> None:
    """Put the files in `md5s` into a folder, each from the first mirror that has it as it should be.

    `files` is what the user could put there instead.
    """
    try:
        beside = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=beside, ignore_cleanup_errors=True) as temporary:
            _patiently(
                partial(_retrieve, mirrors, md5s, temporary),
                heard=lambda: [file.stat() for file in Path(temporary).iterdir()],
            )
            folder.mkdir(parents=True, exist_ok=True)
            for file in md5s:
                os.replace(Path(temporary, file), folder / file)
    except Exception as error:
        raise DataError(
            f"{name} is not in {folder.absolute()} and could not be downloaded ({' '.join(str(error).split())}); put "
            f"{files} there, name another folder with data.root=, or try data=digits, which is built in"
        ) from error


def _retrieve(mirrors: Sequence[str], md5s: Mapping[str, str], folder: str) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    for file, known in md5s.items():
        for mirror in mirrors:
            try:
                pooch.retrieve(f"{mirror}{file}", f"md5:{known}", file, folder)
                break
            except Exception:
                if mirror == mirrors[-1]:
                    raise


def openml(path: Path, data_id: int, columns: Sequence[str], classes: Mapping[str, int]) -> None:
    """Write OpenML's dataset `data_id` to `path` if there is no such file.

    `columns` are the names in the file, of features and target in OpenML's order; `classes` are what its values of
    the target are in the file, where it has classes.
    """
    if path.is_file():
        return
    try:
        frame = _patiently(partial(_table, data_id, columns, classes))
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            frame.to_csv(part, index=False)
    except Exception as error:
        raise DataError(
            f"{path.absolute()}: no such file, and OpenML's dataset {data_id} could not be fetched "
            f"({' '.join(str(error).split())}); put a file there with the columns {','.join(columns)}, name another "
            "folder with data.root=, or try what is built in: data=digits, diabetes, iris, wine or breast_cancer"
        ) from error


def _table(data_id: int, columns: Sequence[str], classes: Mapping[str, int]) -> Any:
    from sklearn.datasets import fetch_openml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a second attempt
        found: Any = fetch_openml(data_id=data_id, as_frame=True, cache=False, n_retries=1, delay=0.1)
    frame = found.data.assign(**{columns[-1]: found.target})
    if len(frame.columns) != len(columns):
        raise ValueError(f"it has the columns {', '.join(map(str, frame.columns))}")
    frame.columns = list(columns)
    if classes:
        frame[columns[-1]] = frame[columns[-1]].astype(str).map(classes)
    if frame.isna().any(axis=None):
        raise ValueError("it has missing cells, or unknown classes")
    return frame


def _patiently(work: Callable[[], T], heard: Callable[[], Any] = lambda: None) -> T:
    """Work in a thread, as long as what is `heard` changes: no socket timeout covers a silent name server."""
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=attempt, daemon=True).start()
    known, since = None, monotonic()
    while not wait([outcome], timeout=0.2).done:
        with suppress(OSError):  # a file that was renamed while it was looked at
            if (now := heard()) != known:
                known, since = now, monotonic()
        if monotonic() - since > PATIENCE_S:
            raise TimeoutError(f"no data received for {PATIENCE_S} s")
    return outcome.result()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; where that is not allowed, it is unpacked again next time."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    if not folder.stat().st_mode & 0o222:
        return  # marked read-only, which does not stop root
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)


def md5(content: bytes) -> str:
    """Return the sum that torchvision lists: it tells known files, and does not protect against forged ones."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def looks(content: bytes) -> str:
    """Say what a file looks like, for the end of a message; empty if that is unknown."""
    if not content:
        return " (the file is empty)"
    start = content[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return " (looks like HTML)"
    return " (looks like gzip)" if start.startswith(b"\x1f\x8b") else ""
