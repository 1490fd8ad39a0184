"""The IDX files of MNIST and its kin (http://yann.lecun.com/exdb/mnist), believed no further than their bytes go."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from trainer.data._download import looks, md5, write_whole
from trainer.errors import DataError

CHUNK = 1 << 20  # bytes
DENSEST = 1032  # bytes that a byte of a gzip file can stand for, at most


def read_idx(folder: Path, name: str, *, num_dims: int) -> tuple[Tensor, str]:
    """Read the file `name` or, if it is missing, `name.gz`, which is then unpacked beside it.

    Returns its bytes, shaped as its header says, and the SHA-256 of the whole file. Memory grows with what a file
    holds, not with what its header claims. A file that is missing, broken or not what is packed is a DataError.
    """
    path, packed = folder / name, folder / f"{name}.gz"
    file = path if path.exists() else packed
    if not file.exists():
        raise DataError(f"{path}: not found, nor packed as .gz, next to other files of the dataset")
    try:
        with path.open("rb") if file == path else gzip.open(packed) as stream:
            head, shape, body = _parse(stream, num_dims, limit=file.stat().st_size * (1 if file == path else DENSEST))
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        why = _why(packed, error) if file == packed else str(error)
        cure = f"delete it to unpack {packed.name} again"
        if file == packed or not packed.exists():
            cure = f"put the right file there, or delete {folder} to download it again"
        raise DataError(f"{file}: {why}; {cure}") from error
    if file == packed:
        write_whole(path, head + body)
    elif packed.exists():
        _compare(path, packed, zlib.crc32(body, zlib.crc32(head)), len(head) + len(body))
    digest = hashlib.sha256(head)
    digest.update(body)
    return torch.frombuffer(body, dtype=torch.uint8).reshape(shape), digest.hexdigest()


def _parse(stream: BinaryIO | gzip.GzipFile, num_dims: int, *, limit: int) -> tuple[bytes, tuple[int, ...], bytearray]:
    """Return header, shape and body of a file that cannot hold more than `limit` bytes."""
    magic, size = 0x0800 + num_dims, 4 + 4 * num_dims
    head = stream.read(size)
    found = int.from_bytes(head[:4], "big")
    if found != magic or len(head) < size:
        raise ValueError(
            f"not the IDX file that it should be: magic 0x{found:08x} (expected 0x{magic:08x}){looks(head)}"
        )
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4", offset=4))
    expected = math.prod(shape)
    body = bytearray()
    while len(body) <= expected <= limit and (chunk := stream.read(CHUNK)):
        body += chunk
    if len(body) != expected or not expected:
        follow = "not as many" if expected > limit else "more" if len(body) > expected else f"{len(body):,}"
        raise ValueError(f"its header says {shape}, which is {expected:,} bytes, and {follow} follow")
    return head, shape, body


def _why(packed: Path, error: Exception) -> str:
    """Say what is wrong with a packed file and, if it is one of torchvision's, what it should be."""
    from torchvision import datasets

    content = packed.read_bytes()
    known = dict(getattr(getattr(datasets, packed.parent.parent.name, None), "resources", [])).get(packed.name)
    if not content.startswith(b"\x1f\x8b"):
        what = f"not a gzip file{looks(content)}"
    else:
        what = str(error) if isinstance(error, ValueError) else f"incomplete or damaged ({error})"
    original = f", and the original {known}" if known else ""
    return f"{what}; it has {len(content):,} bytes, MD5 {md5(content)}{original}"


def _compare(path: Path, packed: Path, crc32: int, size: int) -> None:
    """Compare with the CRC-32 and the size at a gzip file's end; a file of another size is none of ours to judge."""
    end = packed.read_bytes()[-8:]
    crc, length = int.from_bytes(end[:4], "little"), int.from_bytes(end[4:], "little")
    if length == size and crc != crc32:
        raise DataError(
            f"{path}: not what {packed.name} beside it holds (CRC-32 {crc32:08x}, expected {crc:08x}): one of them is "
            "damaged; delete that one"
        )
