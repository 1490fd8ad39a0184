"""Turn texts into token numbers."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1  # the numbers of known tokens follow
PLAIN = r"\w+|[^\w\s]"  # as old runs have it: right for texts without combining marks and with spaces between words
NO_SPACES = {  # scripts that are written without spaces between words
    "Thai": "\u0e01-\u0e7f",
    "Lao": "\u0e81-\u0eff",
    "Tibetan": "\u0f40-\u0fbc",
    "Burmese": "\u1000-\u109f",
    "Khmer": "\u1780-\u17d3",
    "Japanese": "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Chinese": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}


@dataclass(frozen=True)
class Vocabulary:
    """The known tokens, how texts are cut into them, and in which columns texts and labels were; plain enough for JSON.

    A column is a name, or a number from 1 where the file had no header.
    """

    tokens: tuple[str, ...]
    unit: str  # a key of CUTTERS
    max_length: int  # tokens read of a text
    text: str = "1"
    label: str = "2"

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

    def decode(self, numbers: Sequence[int]) -> str:
        """Return a text of these tokens, without padding; unknown ones are �."""
        return ("" if self.unit == "characters" else " ").join(self.pieces(numbers))

    def pieces(self, numbers: Sequence[int]) -> list[str]:
        """Return the tokens, without padding; unknown ones are �."""
        return ["�" if n == UNKNOWN else self.tokens[n - UNKNOWN - 1] for n in numbers if n != PADDING]

    def unknown(self, texts: Sequence[str]) -> tuple[Counter[str], int]:
        """Count the tokens of texts that training does not know, and the number of all."""
        known, found, total = {*self.tokens}, Counter[str](), 0
        for text in texts:
            tokens = cut(text, self.unit)[: self.max_length]
            total += len(tokens)
            found.update(token for token in tokens if token not in known)
        return found, total

    @property
    def tokenizer(self) -> dict[str, Any]:
        """Return in full how a text becomes numbers, for other programs."""
        is_words = self.unit != "characters"
        return {
            "strip": "white space at both ends (Unicode)",
            "normalization": "NFC",
            "lowercase": is_words,
            "token": {"words": PLAIN, "unicode words": unicode_words().pattern}.get(self.unit, r"[\s\S]"),
            "token_syntax": "each match of this regular expression of Python is a token; . and [^] are code points",
            "padding": PADDING,
            "unknown": UNKNOWN,
            "first_token": UNKNOWN + 1,
        }


@cache
def unicode_words() -> re.Pattern[str]:
    """Return the pattern of words with combining marks, each character alone in scripts that have no spaces."""
    marks, start = "", None
    for code in range(0x300, 0x1F000):
        is_mark = unicodedata.category(chr(code))[0] == "M"
        if is_mark and start is None:
            start = code
        elif not is_mark and start is not None:
            marks += f"{chr(start)}-{chr(code - 1)}"
            start = None
    marks += "\u200c\u200d"  # joiners within words of Hindi and Persian
    alone = "".join(NO_SPACES.values())
    return re.compile(f"(?![{marks}])[{alone}][{marks}]*|(?:(?![{alone}])[\\w{marks}])+|[^\\w\\s]")


CUTTERS: dict[str, Callable[[str], list[str]]] = {
    "characters": list,
    "words": lambda text: re.findall(PLAIN, text.lower()),
    "unicode words": lambda text: unicode_words().findall(text.lower()),
}


def cut(text: str, unit: str) -> list[str]:
    """Cut a text into tokens, after composing its characters (Unicode NFC)."""
    return CUTTERS[unit](unicodedata.normalize("NFC", text.strip()))


def unit_for(texts: Sequence[str], tokens: str) -> tuple[str, list[str]]:
    """Return the unit that these texts need, and notes: words are plain ones as long as that makes no difference."""
    if tokens != "words" or all(
        cut(text, "words") == cut(text, "unicode words") for text in texts if not text.isascii()
    ):
        return tokens, []
    found = [name for name, chars in NO_SPACES.items() if any(re.search(f"[{chars}]", text) for text in texts)]
    note = f"no spaces between words in {' and '.join(found)}: each of their characters is a token" if found else ""
    return "unicode words", [note] if note else []
