"""Write folders of files atomically, and verify them before anything in them is parsed.

A folder is written under a temporary name, each file synced, `checkpoint.json` with the SHA-256 of each file and of
itself last, and then renamed. The sums reveal damage, not who wrote it.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer import __version__
from trainer.errors import CheckpointError
from trainer.files import read as read_file
from trainer.files import replacing

FORMAT = 1  # of the files; later formats are refused
MANIFEST = "checkpoint.json"


def write(folder: Path, content: Mapping[str, Any], about: dict[str, Any]) -> None:
    """Write the folder, with `content` by file name and `about` in the manifest.

    Raises:
        OSError: it cannot be written or, at the very end, its name cannot be synced to the disk.
    """
    files = {file: {"bytes": len(data), "sha256": sha256(data)} for file, data in content.items()}
    about = {"format": FORMAT, "dltrain": __version__, "torch": torch.__version__} | about | {"files": files}
    with replacing(folder, durable=True) as part:
        part.mkdir()
        for file, data in content.items():
            _write_synced(part / file, data)
        _write_synced(part / MANIFEST, sealed(about))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the content of its files, after verifying their sums.

    Raises:
        CheckpointError: a file is missing, damaged or unexpected, or the format is a later one.
    """
    about = manifest(folder)
    if not about:
        raise CheckpointError(f"{folder}: {MANIFEST} is missing or damaged")
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: written in format {about.get('format')}; this version reads {FORMAT}")
    content = {}
    files = about.get("files")
    for file, expected in files.items() if isinstance(files, dict) else ():
        if file not in ("state.pt", "data.json") and not re.fullmatch(r"\w+\.safetensors", file):
            raise CheckpointError(f"{folder}: unexpected file {file!r} in the manifest")
        try:
            size = (folder / file).stat().st_size
            if size != expected["bytes"]:
                raise CheckpointError(f"{folder / file}: {size:,} bytes, expected {expected['bytes']:,}")
            data = read_file(folder / file, size)
        except (OSError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder / file}: cannot be read: {error}") from error
        if (found := sha256(data)) != expected.get("sha256"):
            raise CheckpointError(
                f"{folder / file}: SHA-256 {found[:16]}..., expected {expected.get('sha256')!s:.16}..."
            )
        content[file] = data
    return about, content


def sealed(about: dict[str, Any]) -> bytes:
    """Return a manifest as JSON, with its own sum at the end."""
    plain = json.dumps(about, sort_keys=True).encode()
    return json.dumps(about | {"sha256": sha256(plain)}, indent=2).encode()


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest, empty if it is missing or damaged."""
    try:
        about = json.loads(read_file(folder / MANIFEST))
        found = about.pop("sha256")
        return about if found == sha256(json.dumps(about, sort_keys=True).encode()) else {}
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return {}


def _write_synced(path: Path, data: Any) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sha256(data: Any) -> str:
    """Return the SHA-256 sum in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
