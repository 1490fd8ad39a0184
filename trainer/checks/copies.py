"""Examples that are equal: in two splits, twice in training, or with different labels.

Images and texts are compared as they are stored, rows of a table in features and target, but for features that number
the rows. Equal rows and texts count only if there are more than by chance: see chance.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.checks.chance import COMMON, added, exceeds, hashed, is_beyond_chance, pairs
from trainer.checks.columns import numbers_rows
from trainer.checks.findings import Finding
from trainer.checks.pool import Pool
from trainer.data._vocabulary import Vocabulary, cut

LISTED, FILES = 50_000, 2000  # image files whose sizes a short check compares, and that it reads
CELLS = 5_000_000  # of a table that a short check compares
WORDS = 2**22  # 32-bit words that are hashed at once
SAMPLE, SENTENCE = 5000, 1.5  # texts whose tokens are counted; words of a text on average, for words to be tokens
REPEATED = 3.0  # factor for words that depend on each other


class Keys(NamedTuple):
    """Numbers `(N,)` that are equal where inputs are, or rows with targets; None if chance makes as many equal."""

    of_inputs: np.ndarray | None = None
    of_examples: np.ndarray | None = None


def copies(pool: Pool) -> Iterator[Finding]:
    """Yield what is equal between splits, within training, and with different labels."""
    keys = _keys(pool)
    if keys.of_examples is not None:
        yield from _repeated(pool, keys.of_examples)
    if keys.of_inputs is not None and pool.spec.task != "regression":
        yield from _conflicting(pool, keys.of_inputs)


def _keys(pool: Pool) -> Keys:
    if pool.spec.kind == "features":
        return _of_rows(pool)
    inputs = [part.inputs for part in pool.parts]
    if all(isinstance(each, Tensor) for each in inputs):
        keys = torch.cat([fingerprints(each) for each in inputs]).numpy()
    elif all(hasattr(each, "paths") for each in inputs):
        keys = _of_files([Path(path) for each in inputs for path in each.paths], pool.is_short)
    else:
        return Keys()
    if not pairs(keys):
        return Keys()
    if texts := pool.texts:
        keys = _of_texts(pool, keys, texts)
        expected = REPEATED * _texts_by_chance(texts)
        if expected > COMMON * len(texts) or not exceeds(pairs(keys), expected):
            return Keys()
    return Keys(keys, keys)


def fingerprints(inputs: Tensor) -> Tensor:
    """Return a number int64 for each of `(N, ...)` inputs, `(N,)`, from its bytes; it differs where these do."""
    flat = inputs.cpu().flatten(1)
    flat = flat + 0.0 if flat.is_floating_point() else flat  # -0.0 is 0.0
    size = flat.shape[1] * flat.element_size()
    flat = flat.contiguous().view(torch.uint8)
    words = torch.nn.functional.pad(flat, (0, -size % 4)).view(torch.int32)
    factors = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63, (2, words.shape[1])))
    found = []
    for some in words.split(max(1, WORDS // words.shape[1])):
        low, high = ((some.long() * factor).sum(1) >> 32 for factor in factors)
        found.append((high << 32) | (low & 0xFFFFFFFF))
    return torch.cat(found)


def _of_files(paths: Sequence[Path], is_short: bool) -> np.ndarray:
    """Number files by their content, `(N,)`; those of a size of their own are not read."""
    found = -1 - np.arange(len(paths))
    if is_short and len(paths) > LISTED:
        return found
    sizes = np.array([_size(path) for path in paths])
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    alike = np.flatnonzero((counts[inverse] > 1) & (sizes >= 0))
    if is_short and len(alike) > FILES:
        return found
    for place in alike.tolist():
        digest = hashlib.blake2b(paths[place].read_bytes(), digest_size=8).digest()
        found[place] = int.from_bytes(digest, "big") >> 1
    return found


def _size(path: Path) -> int:
    """Return the bytes of a file; -1 if it is missing, which whoever reads it reports."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _of_rows(pool: Pool) -> Keys:
    if pool.is_short and len(pool) * len(pool.column_names) > CELLS:
        return Keys()
    features = (column for column in pool.columns() if column.is_feature and not numbers_rows(column))
    columns = [hashed(column.values, number) for number, column in enumerate(features)]
    if not columns or not pairs(whole := added(columns)):
        return Keys()
    target = hashed(pool.target.values, len(columns))
    has_labels = pool.spec.task != "regression"
    return Keys(
        whole if has_labels and is_beyond_chance(columns) else None,
        whole + target if is_beyond_chance([*columns, target]) else None,
    )


def _of_texts(pool: Pool, keys: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Number texts `(N,)` by all their tokens, also those that are not read or not known."""
    unit = pool.spec.encoder.unit if isinstance(pool.spec.encoder, Vocabulary) else "characters"
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    found, known = -1 - np.arange(len(keys)), dict[tuple[str, ...], int]()
    for place in np.flatnonzero(counts[inverse] > 1).tolist():
        found[place] = known.setdefault(tuple(cut(texts[place], unit)), len(known))
    return found


def _texts_by_chance(texts: Sequence[str]) -> float:
    """Return how many pairs of texts would be equal if each word were drawn for itself; each character of one word."""
    some = [text.lower().split() for text in texts[:: len(texts) // SAMPLE + 1]]
    if sum(map(len, some)) < SENTENCE * len(some):
        some = [[*" ".join(words)] for words in some]
    often, lengths = Counter(token for tokens in some for token in tokens), Counter(map(len, some))
    alike = sum(count * count for count in often.values()) / often.total() ** 2
    equal = sum((count / len(some)) ** 2 * alike**size for size, count in lengths.items())
    return equal * len(texts) * (len(texts) - 1) / 2


def _repeated(pool: Pool, keys: np.ndarray) -> Iterator[Finding]:
    for one, other in ((2, 0), (1, 0), (2, 1)):
        if one < len(pool.parts):
            left, right = (np.flatnonzero(pool.split == number) for number in (one, other))
            found = left[np.isin(keys[left], keys[right])]
            name, size = pool.names[one], pool.sizes[one]
            what = f"{len(found):,} of {size:,} {name} {pool.called} are also {pool.names[other]} {pool.called}"
            yield from _copies(pool, keys, found, right, what)
    train = np.flatnonzero(pool.split == 0)
    first = np.zeros(len(train), dtype=bool)
    first[np.unique(keys[train], return_index=True)[1]] = True
    found = train[~first]
    what = f"{len(found):,} of {pool.sizes[0]:,} training {pool.called} repeat another"
    yield from _copies(pool, keys, found, train[first], what)


def _copies(pool: Pool, keys: np.ndarray, found: np.ndarray, among: np.ndarray, what: str) -> Iterator[Finding]:
    """Yield a finding about examples `found`, each of which is equal to one of those `among` others."""
    if not len(found):
        return
    order, first = among[np.argsort(keys[among], kind="stable")], found[: pool.most_named]
    partners = order[np.searchsorted(keys[order], keys[first])]
    both = [*zip(first.tolist(), partners.tolist(), strict=True)]
    yield Finding("copies", what, len(found), named(pool, both), pairs=both)


def _conflicting(pool: Pool, keys: np.ndarray) -> Iterator[Finding]:
    labels = pool.target.values
    order = np.lexsort((labels, keys))
    equal = keys[order][1:] == keys[order][:-1]
    change = np.flatnonzero(equal & (labels[order][1:] != labels[order][:-1]))
    if len(change):
        both = [(int(order[at]), int(order[at + 1])) for at in change[: pool.most_named]]
        words = pool.target.words or ()
        names = [
            f"{name} ({words[labels[one]]}, {words[labels[other]]})"
            for name, (one, other) in zip(named(pool, both), both, strict=True)
        ]
        count = len(np.unique(keys[order][change]))
        have = f"{pool.called} have" if count > 1 else f"{pool.called[:-1]} has"
        yield Finding("conflict", f"{count:,} {have} more than one label", count, names, pairs=both)


def named(pool: Pool, both: Sequence[tuple[int, int]]) -> list[str]:
    """Call pairs of equal examples as a person would."""
    names = pool.places([place for pair in both for place in pair])
    return [f"{one} = {other}" for one, other in zip(names[::2], names[1::2], strict=True)]
