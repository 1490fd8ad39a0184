"""Dataclasses as plain JSON and back; each value is checked by the annotation of its field, and nothing is guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor


def to_plain(value: Any) -> Any:
    """Dicts, lists, texts and numbers, which JSON keeps exactly."""
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
