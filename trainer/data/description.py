"""What a checkpoint says about the data that a model was trained on, and a run's fingerprint of its data.

A checkpoint says it in plain JSON, every number exact. Nothing is made of it but the dataclasses that are named here,
each value checked by the annotation of its field.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import CUTTERS, UNKNOWN, Vocabulary
from trainer.data.tensors import DataSpec, Loaders, shaped
from trainer.errors import DataError

FORMAT = 1  # a later one is not guessed at
LARGEST = 2**28  # numbers in an example, and training examples: more is a mistake, or malice
SAMPLE = 4 * 2**20  # bytes of the inputs of a split that are hashed
FILES = 10_000  # of a split's that are looked at


@dataclass(frozen=True)
class Description:
    """What the data is, how many training examples each class had, and the temperature that divides the logits.

    A loss may take its weights from the counts.
    """

    spec: DataSpec
    class_counts: tuple[int, ...] = ()
    temperature: float = 1.0

    def targets(self) -> Tensor:
        """Return targets like those of training: as many of each class, or two values."""
        if self.spec.task == "regression":
            return torch.zeros(2, 1)
        labels = torch.arange(len(self.class_counts)).repeat_interleave(torch.tensor(self.class_counts))
        return shaped(labels, self.spec.task)


def dumps(spec: DataSpec, targets: Tensor, temperature: float = 1.0) -> bytes:
    """Write what the data is as JSON; `targets` are those of the training split.

    Raises:
        DataError: something in it cannot be written as JSON, or does not go together.
    """
    counts: list[int] = []
    if spec.task != "regression":
        num_classes = 2 if spec.task == "binary" else spec.out_features
        counts = torch.bincount(targets.flatten().long().cpu(), minlength=num_classes).tolist()
    try:
        content = written(Description(replace(spec, notes=()), tuple(counts), temperature))
        loads(content)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the description of the data cannot be saved: {error}") from error
    return content


def written(described: Description) -> bytes:
    """Return it as JSON; a number of NumPy, or a tensor, as Python's numbers, which JSON keeps exactly."""
    plain = {"format": FORMAT, **asdict(described)}
    return json.dumps(plain, allow_nan=False, default=lambda value: value.tolist()).encode()


def loads(content: bytes) -> Description:
    """Read what `dumps` has written.

    Raises:
        ValueError: it is anything else.
    """
    try:
        plain: Any = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise ValueError(f"not in format {FORMAT}")
    found = from_plain(Description, plain, "data")
    _check(found.spec)
    if not all(count >= 0 for count in found.class_counts) or sum(found.class_counts) > LARGEST:
        raise ValueError("data.class_counts: expected numbers of examples")
    if not found.temperature > 0:
        raise ValueError("data.temperature: expected a number above 0")
    return found


def _check(spec: DataSpec) -> None:
    """Raise a ValueError if the parts do not go together."""
    num_classes = {"regression": 0, "binary": 2, "multiclass": spec.out_features}.get(spec.task)
    shape, encoder = spec.in_shape, spec.encoder
    stds = [spec.target_std]
    if isinstance(encoder, TableEncoder):
        stds += [column.std for column in encoder.columns]
    if isinstance(encoder, ImageEncoder):
        stds += encoder.std
    wrong = {
        "task": num_classes is None,
        "out_features": not 1 <= spec.out_features <= LARGEST,
        "in_shape": not shape or min(shape) < 1 or math.prod(shape) > LARGEST,
        "class_names": bool(spec.class_names) and len(spec.class_names) != num_classes,
        "encoder": encoder is not None and encoder.in_shape != shape,
        "threshold": not 0 < spec.threshold < 1,
        "std": not all(std > 0 for std in stds),
        "vocab_size": spec.vocab_size is not None and not 2 <= spec.vocab_size <= LARGEST,
    }
    if isinstance(encoder, ImageEncoder):
        drawn = encoder.drawing
        wrong["largest"] = not 1 <= encoder.largest <= 255
        wrong["depth"] = not (1 <= encoder.depth[1] <= 32 and abs(encoder.depth[0]) <= 2**32)
        wrong["drawing"] = drawn is not None and not (
            0 < drawn.side <= max(encoder.size) and 0 <= drawn.background <= 1 and 0 <= drawn.fill <= 1
        )
    if isinstance(encoder, Vocabulary):
        wrong["tokens"] = encoder.unit not in CUTTERS or len(encoder.tokens) + UNKNOWN + 1 != spec.vocab_size
    if names := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise ValueError(f"data.spec.{names[0]} does not match the rest")


def from_plain(kind: Any, plain: Any, where: str) -> Any:
    """Make a `kind` of what JSON holds: a dataclass, a container, a tensor, a number, a text.

    Raises:
        ValueError: a value is of another kind, or not finite; names its place.
    """
    origin, inner = get_origin(kind), get_args(kind)
    for one in inner if origin is UnionType else ():
        with suppress(ValueError):
            return from_plain(one, plain, where)
    if is_dataclass(kind) and isinstance(plain, dict):
        hints = get_type_hints(kind)
        added = {f.name for f in fields(kind) if f.default is not MISSING}  # since an older version wrote it, perhaps
        if plain.keys() - hints.keys() or hints.keys() - added - plain.keys():
            raise ValueError(f"{where}: has {', '.join(sorted(plain))}, expected {', '.join(sorted(hints))}")
        return kind(**{name: from_plain(hints[name], item, f"{where}.{name}") for name, item in plain.items()})  # type: ignore[operator]
    if origin is Mapping and isinstance(plain, dict):
        return {key: from_plain(inner[1], item, f"{where}.{key}") for key, item in plain.items()}
    if origin in (list, tuple) and isinstance(plain, list):
        kinds = inner if origin is tuple and inner[-1] is not Ellipsis else [inner[0]] * len(plain)
        if len(kinds) == len(plain):
            return origin(
                from_plain(k, item, f"{where}[{n}]") for n, (k, item) in enumerate(zip(kinds, plain, strict=True))
            )
    if kind is Tensor and isinstance(plain, list):
        return torch.tensor(from_plain(list[float], plain, where), dtype=torch.float64)
    if kind is float and type(plain) in (int, float) and abs(plain) < math.inf:
        return plain
    if kind in (int, str, bool, NoneType) and type(plain) is kind:
        return plain
    raise ValueError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {str(plain)[:40]!r}")


def fingerprints(data: Loaders) -> dict[str, str]:
    """Map splits to 16 hexadecimal digits of their examples as stored, in their order; others mean other data.

    All targets are hashed, and of the inputs an even sample beside the sum of all: a changed pixel changes that, an
    exchange of two examples the targets or, by chance, the sample. Inputs that stay in files stand for themselves with
    name and size.
    """
    return {split: _fingerprint(loader) for split, loader in zip(Loaders._fields, data, strict=True)}


def _fingerprint(loader: Any) -> str:
    found = hashlib.blake2b(digest_size=8)
    inputs = getattr(loader, "inputs", None)
    for part in [loader.targets, *(_parts(inputs) if isinstance(inputs, Tensor) else [])]:
        found.update(f"{part.dtype} {tuple(part.shape)}".encode())
        found.update(part.cpu().contiguous().numpy().data)
    paths = getattr(inputs, "paths", [])
    for path in paths[:: len(paths) // FILES + 1]:
        file = Path(path)
        size = file.stat().st_size if file.exists() else "missing"
        found.update(f"{file.parent.name}/{file.name} {size}".encode(errors="surrogateescape"))
    return found.hexdigest()


def _parts(inputs: Tensor) -> list[Tensor]:
    """Return evenly spaced rows, and the sum of all bytes, eight at a time."""
    size = inputs.numel() * inputs.element_size()
    whole = inputs.contiguous().flatten().view(torch.uint8)
    whole = whole.clone() if whole.storage_offset() % 8 else whole  # such as the rows of a table from the third on
    words = whole[: len(whole) // 8 * 8].view(torch.int64)
    shape = torch.tensor(inputs.shape)
    return [shape, inputs[:: size // SAMPLE + 1], words.sum(), whole[len(words) * 8 :]]
