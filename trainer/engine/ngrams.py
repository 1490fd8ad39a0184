"""Count the n-grams of texts that are token numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.data._vocabulary import PADDING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Ngrams:
    """The n-grams of training texts, `(N, L)` token numbers, of one to `longest` tokens; each has a column.

    Padding is part of none.
    """

    def __init__(self, texts: np.ndarray, longest: int) -> None:
        self.base = int(texts.max(initial=0)) + 1
        self.known: list[np.ndarray] = []  # by length, the sorted codes of the n-grams
        for _ in range(min(longest, texts.shape[1])):
            codes, _ = self._codes(texts)
            self.known.append(np.unique(codes[codes >= 0]))

    @property
    def num_columns(self) -> int:
        """Return the number of different n-grams."""
        return sum(map(len, self.known))

    def counts(self, texts: np.ndarray) -> csr_matrix:
        """Return how often each n-gram of training is in each of `texts` `(M, L)`: `(M, columns)`."""
        from scipy.sparse import csr_matrix

        _, places = self._codes(texts)
        starts = np.cumsum([0, *map(len, self.known)])
        rows = [np.nonzero(place >= 0)[0] for place in places]
        columns = [start + place[place >= 0] for start, place in zip(starts, places, strict=False)]
        index = [np.concatenate(each).astype(np.int32) for each in (rows, columns)]  # scikit-learn wants 32 bits
        return csr_matrix((np.ones(len(index[0])), index), shape=(len(texts), self.num_columns))

    def _codes(self, texts: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the codes of the n-grams one token longer than the known ones, by the token they start at, -1 if none.

        And the places of the known ones by length. A code is the place of all tokens but the last, and the last.
        """
        place, places = np.zeros(texts.shape, np.int64), []  # of the empty n-gram
        for length in range(len(self.known) + 1):
            last = texts[:, length:]
            place = place[:, : last.shape[1]]
            is_known = (place >= 0) & (last != PADDING) & (last < self.base)
            codes = np.where(is_known, place * self.base + last, -1)
            if length < len(self.known):
                place = _places(codes, self.known[length])
                places.append(place)
        return codes, places


def _places(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the index of each code among the sorted known ones, or -1."""
    if not len(known):
        return np.full(codes.shape, -1)
    found = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return np.where(known[found] == codes, found, -1)
