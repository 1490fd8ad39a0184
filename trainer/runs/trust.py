"""Recognise the runs and sweeps that this user started here: only their configs may name modules to import.

What starts records a signature of its command, its config and the working folder: HMAC-SHA256 with a key that only the
user can read. A stranger's folder has none that fits, and neither has one that was changed or started elsewhere.
"""

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer.files import read
from trainer.runs.index import Run
from trainer.runs.ledger import Ledger


def signature(command: Any, config: Any) -> dict[str, str]:
    """Return an entry to record; empty where the user has no place for a key."""
    try:
        return {"signature": _sign(_key(), command, config)}
    except OSError:
        return {}


def stranger(folder: Path) -> Path | None:
    """Return the folder of a run, or None if this user started it in the working folder."""
    run = Run(folder)
    with suppress(OSError, UnicodeError):
        if _is_signed(run.latest, run.latest.get("command"), read(run.files.config).decode()):
            return None
    return folder


def stranger_sweep(folder: Path) -> Path | None:
    """Return the folder of a sweep, or None if this user started it in the working folder."""
    header = Ledger(folder).header()
    with suppress(OSError):
        if _is_signed(header, header.get("command"), header.get("samples")):
            return None
    return folder


def _is_signed(entry: Mapping[str, Any], *content: Any) -> bool:
    return hmac.compare_digest(_sign(read(_place()), *content).encode(), str(entry.get("signature")).encode())


def _sign(key: bytes, *content: Any) -> str:
    return hmac.new(key, json.dumps([os.getcwd(), *content], sort_keys=True).encode(), "sha256").hexdigest()


def _place() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home, "dltrain", "key")


def _key() -> bytes:
    """Return the user's key; the first time, make one."""
    place = _place()
    with suppress(FileNotFoundError):
        return read(place)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}-{secrets.token_hex(6)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
    try:
        os.link(part, place)  # fails if another process has made one
    except FileExistsError:
        pass
    finally:
        part.unlink()
    return read(place)
