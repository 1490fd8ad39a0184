"""Turn texts into token numbers."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1  # the numbers of known tokens follow
CUTTERS = {"characters": list, "words": lambda text: re.findall(r"\w+|[^\w\s]", text.lower())}


@dataclass(frozen=True)
class Vocabulary:
    """The known tokens, and how texts are cut into them; plain enough for JSON."""

    tokens: tuple[str, ...]
    unit: str  # characters | words
    max_length: int  # tokens read of a text

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Return the shape of an encoded text."""
        return (self.max_length,)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return token numbers `(N, max_length)` int32, padded with `PADDING`; other tokens are `UNKNOWN`."""
        number = {token: index for index, token in enumerate(self.tokens, UNKNOWN + 1)}
        rows = torch.zeros(len(texts), self.max_length, dtype=torch.int32)
        for row, text in zip(rows.numpy(), texts, strict=True):
            found = [number.get(token, UNKNOWN) for token in cut(text, self.unit)[: self.max_length]]
            row[: len(found)] = found
        return rows


def cut(text: str, unit: str) -> list[str]:
    """Cut a text into tokens, after composing its characters (Unicode NFC)."""
    return CUTTERS[unit](unicodedata.normalize("NFC", text.strip()))
