"""What a checkpoint says about the data that a model was trained on, and how other data is read as that was.

Plain JSON, every number exact. Nothing is made of it but the dataclasses that are named here, each value checked by
the annotation of its field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import CUTTERS, UNKNOWN, Vocabulary
from trainer.data.tensors import DataSpec
from trainer.errors import DataError

FORMAT = 1  # a later one is not guessed at
LARGEST = 2**28  # numbers in an example, and training examples: more is a mistake, or malice


@dataclass(frozen=True)
class Description:
    """What the data is, and how many training examples each class had, from which a loss may take its weights."""

    spec: DataSpec
    class_counts: tuple[int, ...] = ()

    def targets(self) -> Tensor:
        """Targets as those of training: so many of each class, or two values."""
        if self.spec.task == "regression":
            return torch.zeros(2, 1)
        labels = torch.arange(len(self.class_counts)).repeat_interleave(torch.tensor(self.class_counts))
        return labels.float()[:, None] if self.spec.task == "binary" else labels


def dumps(spec: DataSpec, targets: Tensor) -> bytes:
    """JSON of what the data is; `targets` are those of the training split.

    Raises:
        DataError: something in it cannot be said in JSON, or does not go together.
    """
    counts: list[int] = []
    if spec.task != "regression":
        num_classes = 2 if spec.task == "binary" else spec.out_features
        counts = torch.bincount(targets.flatten().long().cpu(), minlength=num_classes).tolist()
    plain = {"format": FORMAT, **to_plain(Description(replace(spec, notes=()), tuple(counts)))}
    try:
        content = json.dumps(plain, allow_nan=False).encode()
        loads(content)
    except (TypeError, ValueError) as error:
        raise DataError(f"what the data says of itself cannot be kept: {error}") from error
    return content


def loads(content: bytes) -> Description:
    """The same again.

    Raises:
        ValueError: not what `dumps` has written.
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
        raise ValueError("data.class_counts: no numbers of examples")
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
        "std": not all(std > 0 for std in stds),
        "vocab_size": spec.vocab_size is not None and not 2 <= spec.vocab_size <= LARGEST,
    }
    if isinstance(encoder, ImageEncoder):
        drawn = encoder.drawing
        wrong["largest"] = not 1 <= encoder.largest <= 255
        wrong["drawing"] = drawn is not None and not (
            0 < drawn.side <= max(encoder.size) and 0 <= drawn.background <= 1 and 0 <= drawn.fill <= 1
        )
    if isinstance(encoder, Vocabulary):
        wrong["tokens"] = encoder.unit not in CUTTERS or len(encoder.tokens) + UNKNOWN + 1 != spec.vocab_size
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"data.spec.{name} does not go with the rest")


def to_plain(value: Any) -> Any:
    """Dataclasses as dicts, lists, texts and numbers, which JSON keeps exactly."""
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value  # a tensor, or a number of NumPy


def from_plain(kind: Any, plain: Any, where: str) -> Any:
    """The same again, as `kind` says: a dataclass, a container, a tensor, a number, a text.

    Raises:
        ValueError: names the place of a value that is of another kind, or no finite number.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return _one_of(inner, plain, where)
    if is_dataclass(kind) and isinstance(plain, dict):
        hints = get_type_hints(kind)
        if plain.keys() != hints.keys():
            raise ValueError(f"{where}: has {_listed(plain)}, expected {_listed(hints)}")
        return kind(**{name: from_plain(hint, plain[name], f"{where}.{name}") for name, hint in hints.items()})  # type: ignore[operator]
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
    raise ValueError(f"{where}: {str(plain)[:40]!r} is no {getattr(kind, '__name__', kind)}")


def _one_of(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    """The first kind that the value is of."""
    errors = []
    for kind in kinds:
        try:
            return from_plain(kind, plain, where)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "nothing"
