"""CIFAR-10's own files. They are pickles, which can run anything when they are read: only the known ones are.

Each file is compared with the MD5 of the original, and then read by an unpickler that can make arrays and nothing else.
A file that is missing or not the original is a DataError.
"""

import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data import _download
from trainer.errors import DataError

FOLDER, PACKED = "cifar-10-batches-py", "cifar-10-python.tar.gz"
MD5 = {  # as in torchvision.datasets.CIFAR10, whose import takes a second
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
MIRRORS = ["https://www.cs.toronto.edu/~kriz/"]
PACKED_MD5 = "c58f30108f718f92721af3b95e74349a"
LARGEST = 40_000_000  # bytes; the originals have about 31 million


def read_cifar10(root: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[str, ...]]:
    """Return images `(N, 3, 32, 32)` uint8 and labels `(N,)` for training and testing, and the names of the classes."""
    folder, archive = root / FOLDER, root / PACKED
    if not archive.exists() and not any((folder / name).exists() for name in MD5):
        wanted = f"{PACKED}, or the folder {FOLDER} that it holds,"
        _download.download("CIFAR10", MIRRORS, {PACKED: PACKED_MD5}, root, files=wanted)
    missing = [name for name in MD5 if not (folder / name).exists()]
    if missing and not archive.exists():
        raise DataError(f"{folder / missing[0]}: not found, and neither is {archive}")
    packed = _members(archive, missing) if missing else {}

    def contents(name: str) -> dict[str, Any]:
        file = archive if name in packed else folder / name
        if file == archive:
            content = packed.pop(name)
        else:
            with file.open("rb") as opened:
                content = opened.read(LARGEST)
        found = _download.md5(content)
        if found != MD5[name]:
            raise DataError(
                f"{file}: {name} is not the original (MD5 {found}, expected {MD5[name]}); it is a pickle, which "
                "could run anything, and is not read; put the original there"
            )
        if file == archive:
            _download.write_whole(folder / name, content)
        return _Arrays(io.BytesIO(content), encoding="latin1").load()

    def images_of(*names: str) -> tuple[Tensor, Tensor]:
        batches = [contents(name) for name in names]
        images = torch.cat([torch.from_numpy(batch["data"]) for batch in batches])
        return images.view(-1, 3, 32, 32), torch.tensor([label for batch in batches for label in batch["labels"]])

    *training, testing, about = MD5
    return images_of(*training), images_of(testing), tuple(contents(about)["label_names"])


def _members(archive: Path, names: list[str]) -> dict[str, bytes]:
    """Return the files of those names in the archive, if it is the original."""
    import pooch

    found = pooch.file_hash(str(archive), alg="md5")
    if found != PACKED_MD5:
        raise DataError(
            f"{archive}: incomplete, or not the original ({archive.stat().st_size:,} bytes, MD5 {found}, "
            f"expected {PACKED_MD5}); delete it to download it again"
        )
    try:
        with tarfile.open(archive) as tar:
            members = {name: tar.extractfile(f"{FOLDER}/{name}") for name in names}
            return {name: member.read(LARGEST) for name, member in members.items() if member}
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}") from error


class _Arrays(pickle.Unpickler):
    """Makes lists, dictionaries, texts, numbers and numpy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three functions that the pickle of an array names, wherever this numpy keeps them."""
        allowed = {"_reconstruct": np.zeros(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module.split(".")[0] == "numpy" and name in allowed:
            return allowed[name]
        raise DataError(f"a pickle that names {module}.{name} is not read")
