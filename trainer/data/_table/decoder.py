"""Turn encoded rows back into cells, for a person."""

import math

import numpy as np

from trainer.data._table.encoder import MISSING, TableEncoder
from trainer.data._textfile import cleaned


def cells(encoder: TableEncoder, inputs: np.ndarray) -> list[list[str]]:
    """Return the cells of inputs `(N, F)`, a list for each row, in the order of `encoder.names`.

    A missing cell is empty where an input tells so, and otherwise what it was filled in with; so is a word that is
    unknown in training. Numbers have the digits that a 32-bit float keeps.
    """
    by_name: dict[str, list[str]] = {}
    start = 0
    for column in encoder.columns:
        values = inputs[:, start : start + len(column.inputs)].astype(np.float64)
        start += len(column.inputs)
        if column.categories is None:
            digits = 6 - math.floor(math.log10(abs(column.mean) + column.std))  # those that a 32-bit float keeps
            numbers = np.round(values[:, 0] * column.std + column.mean, digits) + 0.0  # not -0
            by_name[column.name] = [f"{number:.7g}" for number in numbers]
            continue
        if column.categories == (MISSING,) and column.name in by_name:
            pairs = zip(by_name[column.name], values[:, 0], strict=True)
            by_name[column.name] = ["" if is_missing else cell for cell, is_missing in pairs]
            continue
        words = [*map(cleaned, column.categories), ""]
        by_name[column.name] = [words[at] for at in np.where(values.any(1), values.argmax(1), -1)]
    return [[*row] for row in zip(*by_name.values(), strict=True)]
