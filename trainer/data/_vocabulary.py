"""Texts as numbers: what a token is, and which of them have a number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1  # the first two numbers; tokens follow
CUTTERS = {
    "characters": list,
    "words": lambda text: re.findall(r"\w+|[^\w\s]", text.lower()),
}


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that have a number, what a token is, and how many of a text are read; plain enough for JSON."""

    tokens: tuple[str, ...]
    unit: str  # characters | words
    max_length: int

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Of a text."""
        return (self.max_length,)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Numbers `(N, max_length)` int32, filled up with `PADDING`; a token that has none is `UNKNOWN`."""
        number = {token: index for index, token in enumerate(self.tokens, UNKNOWN + 1)}
        rows = torch.zeros(len(texts), self.max_length, dtype=torch.int32)
        for row, text in zip(rows.numpy(), texts, strict=True):
            found = [number.get(token, UNKNOWN) for token in cut(text, self.unit)[: self.max_length]]
            row[: len(found)] = found
        return rows


def cut(text: str, unit: str) -> list[str]:
    """The tokens of a text; equal characters are equal however they are composed (Unicode's NFC)."""
    return CUTTERS[unit](unicodedata.normalize("NFC", text.strip()))
