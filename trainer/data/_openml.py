"""Tables that are fetched once from OpenML, and read from the file that is left of them from then on."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from trainer.data._download import write_whole
from trainer.errors import DataError

TIMEOUT_S = 8  # of each step of a connection
PATIENCE_S = 20  # of the whole


def fetched(path: Path, data_id: int, columns: Sequence[str], classes: Mapping[str, int]) -> Path:
    """The file at `path`, which is written from OpenML's dataset `data_id` if it is not there.

    `columns` are the names in the file, of features and target in OpenML's order; `classes` are what its values of
    the target are in the file, where it has classes.

    Raises:
        DataError: it is not there, and could not be fetched or written.
    """
    if path.is_file():
        return path
    failures: list[Exception] = []
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        # A thread: a name server that never answers is under no timeout of a socket.
        thread = Thread(target=_fetch, args=(path, data_id, columns, classes, failures), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
    finally:
        socket.setdefaulttimeout(timeout)
    if path.is_file():
        return path
    reason = " ".join(str(failures[0]).split()) if failures else f"nothing came for {PATIENCE_S} s"
    raise DataError(
        f"{path.absolute()}: no such file, and OpenML's dataset {data_id} could not be fetched ({reason}); put a file "
        f"there with the columns {','.join(columns)}, name another folder with data.root=, or try what is embedded: "
        "data=digits, diabetes, iris, wine or breast_cancer"
    )


def _fetch(
    path: Path, data_id: int, columns: Sequence[str], classes: Mapping[str, int], failures: list[Exception]
) -> None:
    try:
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
            raise ValueError("it has missing cells, or classes that are not known")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, frame.to_csv(index=False).encode())
        if not path.is_file():
            raise OSError(f"{path.parent} cannot be written to")
    except Exception as error:
        failures.append(error)
