"""Checkpoints on disk: written atomically, verified before they are read, and never all deleted.

    checkpoints/
      step-00000400/        one checkpoint: model.safetensors, state.pt, data.json, checkpoint.json
      best-00000280/        weights and data.json: enough to use the model
      last -> step-00000400    best -> best-00000280

sealed.py writes and verifies each of these folders.
"""

import io
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from trainer.errors import CheckpointError, FileSystemError, naming
from trainer.files import PART, remove, replacing
from trainer.runs import sealed

Weights = Mapping[str, Tensor]


class Checkpoint(NamedTuple):
    """A checkpoint in memory: weights by the name of their file, the state of the run, and the manifest."""

    weights: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    about: dict[str, Any]
    data: bytes = b""  # JSON about the data, see data/description.py; empty in older checkpoints


class Store:
    """The checkpoints of one run, in `folder`: the last, `keep` before it, and the best weights.

    `data` is JSON that is written into each: what the data is, and how to encode other data like it.
    """

    def __init__(self, folder: Path, keep: int = 1) -> None:
        self.folder, self.keep, self.data = folder, keep, b""

    def save(self, step: int, weights: Mapping[str, Weights], state: dict[str, Any], about: dict[str, Any]) -> None:
        """Write a checkpoint and link it as `last`; `weights` by the name of their file, such as `model`.

        Raises:
            FileSystemError: it cannot be written; earlier checkpoints are intact.
        """
        content = {f"{name}.safetensors": _packed(tensors) for name, tensors in weights.items()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        name = self._write(f"step-{step:08d}", content | {"state.pt": buffer.getbuffer()}, about | {"step": step})
        self._name("last", name)
        self._prune()

    def save_best(self, step: int, weights: Weights, about: dict[str, Any]) -> str:
        """Write weights only, link them as `best`, and return the name of their folder.

        Raises:
            FileSystemError: they cannot be written; earlier checkpoints are intact.
        """
        name = self._write(f"best-{step:08d}", {"model.safetensors": _packed(weights)}, about | {"step": step})
        self._name("best", name)
        return name

    def describe_best(self, data: bytes) -> None:
        """Write the best weights once more, with another description of the data.

        Raises:
            FileSystemError: they cannot be written; those before are intact.
        """
        best, before = self.read("best"), self.data
        self.data = data
        about = {key: value for key, value in best.about.items() if key not in ("format", "dltrain", "torch", "files")}
        self.save_best(best.about["step"], best.weights["model"], about)
        self.data = before

    def newest(self, say: Callable[[str], None] = lambda line: None) -> Checkpoint | None:
        """Return the last intact checkpoint, or None if none was ever written; `say` reports damaged ones.

        Raises:
            CheckpointError: all checkpoints are damaged.
        """
        names = self._names("step")
        for name in reversed(names):
            try:
                return self.read(name)
            except CheckpointError as error:
                say(f"warning: {error}; the checkpoint before it is used, if any")
        if names:
            raise CheckpointError(f"{self.folder}: all checkpoints are damaged ({', '.join(names)}); start a new run")
        return None

    def read(self, name: str) -> Checkpoint:
        """Read the checkpoint of that name.

        Raises:
            CheckpointError: it is missing, damaged, of a later format, or holds more than tensors and numbers.
        """
        folder, target = self.folder / name, name
        with suppress(OSError):  # no link, or one in a folder that `sealed` cannot read either
            target = os.readlink(folder)
        if target != name and target not in self._names("best") + self._names("step"):
            raise CheckpointError(f"{folder}: links to {target!r}, expected a checkpoint in the same folder")
        folder = self.folder / target
        about, content = sealed.read(folder)
        data = content.pop("data.json", b"")
        if "model.safetensors" not in content:
            raise CheckpointError(f"{folder}: the manifest lists no model.safetensors")
        state = _state(folder / "state.pt", content.pop("state.pt")) if "state.pt" in content else {}
        try:
            weights = {file.removesuffix(".safetensors"): load(data) for file, data in content.items()}
        except SafetensorError as error:
            raise CheckpointError(f"{folder}: cannot be read as safetensors: {error}") from error
        return Checkpoint(weights, state, about, data)

    def go_back(self, step: int, best: str) -> None:
        """Delete leftovers of interrupted writes and best weights from after `step`, which the run will find again."""
        self._clear()
        for name in self._names("best"):
            if _order(name)[0] > step:
                self._delete(name)
        self._name("last", self._names("step")[-1])
        if best in self._names("best"):
            self._name("best", best)
        elif (self.folder / "best").is_symlink():
            (self.folder / "best").unlink()

    def _names(self, kind: str) -> list[str]:
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if re.fullmatch(rf"{kind}-\d{{8,}}(-\d+)?", path.name))
        return sorted((path.name for path in found if path.is_dir() and not path.is_symlink()), key=_order)

    def _write(self, name: str, content: Mapping[str, Any], about: dict[str, Any]) -> str:
        try:
            self.folder.mkdir(exist_ok=True)  # not its parent: a deleted run folder is an error
            self._clear()
            names = [path.name for path in self.folder.iterdir()]
            number = 1 + max((_order(n)[1] for n in names if n.split("-")[:2] == name.split("-")), default=0)
            name = f"{name}-{number}" if number > 1 else name
            content = {**content, "data.json": self.data} if self.data else content
            sealed.write(self.folder / name, content, about)
        except OSError as error:
            size = sum(len(data) for data in content.values())
            raise FileSystemError(
                f"{self.folder / name}: cannot write the checkpoint ({size:,} bytes): {error.strerror or error}"
            ) from error
        return name

    def _name(self, link: str, target: str) -> None:
        path = self.folder / link
        with naming(path), replacing(path, durable=True) as part:
            part.symlink_to(target, target_is_directory=True)

    def _prune(self) -> None:
        """Delete all but the last checkpoint, the `keep` before it, and the best weights that they refer to."""
        steps = self._names("step")
        kept = steps[-1 - self.keep :]
        best = {sealed.manifest(self.folder / name).get("best") for name in kept}
        if (self.folder / "best").is_symlink():
            best.add(os.readlink(self.folder / "best"))
        for name in [n for n in steps if n not in kept] + [n for n in self._names("best") if n not in best]:
            self._delete(name)

    def _clear(self) -> None:
        """Delete the leftovers of interrupted writes and deletions."""
        remove(*(path for start in (PART, ".step-", ".best-") for path in self.folder.glob(f"{start}*")))

    def _delete(self, name: str) -> None:
        """Delete a checkpoint, renamed first so that a half-deleted one does not look intact."""
        gone = self.folder / f".{name}"
        with suppress(OSError):
            os.rename(self.folder / name, gone)
            remove(gone)


def load_weights(model: nn.Module, weights: Weights, where: Path) -> None:
    """Copy weights into a model of the same shape.

    Raises:
        CheckpointError: names weights that are missing, unexpected, or of another shape.
    """
    try:
        model.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(f"{where}: the weights are from another model: {' '.join(lines[:5])}") from error


def _packed(weights: Weights) -> bytes:
    """Serialise as safetensors; tensors are cloned because they may share memory."""
    return save(
        {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    )


def _state(path: Path, data: bytes) -> dict[str, Any]:
    """Load tensors, numbers, text and lists of them; refuse any other object, and compressed entries."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("compressed entries")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a plain file of tensors and numbers: {reason}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, expected the state of a run")
    return state


def _order(name: str) -> tuple[int, int]:
    """Parse `step-00000400-2` into 400 and 2."""
    numbers = [int(part) for part in name.split("-")[1:] if part.isdigit()]
    return (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 1)
