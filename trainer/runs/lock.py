"""Lock the folder of a run for one process, and keep what is written below it there."""

import errno
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from trainer.errors import FileSystemError, RunFolderError, naming
from trainer.files import PART, regular, remove
from trainer.runs.folder import RunFolder


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a folder for this process, until the block or the process ends; nothing is written in it before.

    Raises:
        RunFolderError: another process has locked it; names that process.
        FileSystemError: it cannot be locked, or holds links, through which nothing is written.
    """
    with naming(folder):
        file = open(RunFolder(folder).lock, "a+", encoding="utf-8", opener=regular)  # noqa: SIM115
    with file:
        if not _locked(file, patience_s=0.1):
            owner = "another process"
            with suppress(OSError):  # Windows lets no other process read a locked file
                file.seek(0)
                owner = file.read(200).strip() or owner
            raise RunFolderError(f"{folder.absolute()} is in use by {owner}")
        _check_plain(folder)
        remove(*folder.glob(f"{PART}*"))  # left by a kill
        file.truncate(0)
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {platform.node()}, since {started}")
        file.flush()
        yield


def _check_plain(folder: Path) -> None:
    """Check that what is written below a folder stays below it.

    Raises:
        FileSystemError: something there is neither a file nor a folder.
    """
    run = RunFolder(folder)
    for place in (folder, run.hydra, run.tensorboard, run.plots, run.checkpoints):
        with naming(place):
            entries = [*os.scandir(place)] if place.is_dir() else []
        for entry in entries:
            is_ours = place == run.checkpoints and entry.name in ("last", "best")
            is_ours |= entry.name.startswith(PART)  # left by a kill, and deleted
            if not (is_ours or entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                raise FileSystemError(
                    f"{Path(entry).absolute()} is a link or a device, which dltrain does not write through; "
                    "replace it with a file or folder"
                )


def is_running(folder: Path) -> bool:
    """Whether a process holds the lock of a run; changes nothing."""
    path = RunFolder(folder).lock
    mode = "rb+" if os.access(path, os.W_OK) else "rb"  # NFS can only lock writable files
    with suppress(OSError), open(path, mode, opener=regular) as file:
        return not _locked(file, patience_s=0.01)
    return False


def _locked(file: IO[Any], patience_s: float) -> bool:
    """Lock an open file until it is closed; return False if the lock is held for longer than `is_running` does.

    Some file systems, such as Lustre by default, have no locks: there everything counts as locked by this process.
    """
    from filelock import lock_descriptor

    try:
        if lock_descriptor(file.fileno(), blocking=False):
            return True
        time.sleep(patience_s)
        return lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        return True
