"""Examples that are equal: in two splits, twice in training, or with different labels.

Images and texts are compared as they are stored; rows of a table in all their columns, but for those that number them.
Equal rows and texts count only if there are more than by chance: see chance.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.checks.chance import exceeds, hashed, is_beyond_chance, pairs
from trainer.checks.findings import Finding
from trainer.checks.columns import numbers_rows
from trainer.checks.pool import Pool
from trainer.data._vocabulary import PADDING, Vocabulary, cut

FILES = 2000  # image files that a short check reads
WORDS = 2**22  # 32-bit words that are hashed at once


def copies(pool: Pool) -> Iterator[Finding]:
    """Yield what is equal between splits, within training, and with different labels."""
    alike, same = _numbered(pool)
    if same is not None:
        yield from _repeated(pool, same)
    if alike is not None and pool.spec.task != "regression":
        yield from _conflicting(pool, alike)


def _numbered(pool: Pool) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return numbers `(N,)` that are equal where inputs are, and where examples are; None where chance explains that."""
    inputs = [part.inputs for part in pool.parts]
    if all(isinstance(each, Tensor) for each in inputs):
        keys = torch.cat([fingerprints(each) for each in inputs]).numpy()
    elif all(hasattr(each, "paths") for each in inputs):
        keys = _of_files([Path(path) for each in inputs for path in each.paths], pool.is_short)
    else:
        return None, None
    if not pairs(keys):
        return None, None
    if pool.spec.kind == "features":
        return _of_rows(pool)
    if pool.spec.kind == "tokens":
        keys = _of_texts(pool, keys)
        if not exceeds(pairs(keys), _texts_by_chance(torch.cat(inputs))):
            return None, None
    return keys, keys


def fingerprints(inputs: Tensor) -> Tensor:
    """Return a number int64 for each of `(N, ...)` inputs, `(N,)`, from its bytes; others have others, almost surely."""
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
    sizes = np.array([path.stat().st_size if path.exists() else -1 for path in paths])
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    alike = np.flatnonzero((counts[inverse] > 1) & (sizes >= 0))
    found = -1 - np.arange(len(paths))
    if is_short and len(alike) > FILES:
        return found
    for place in alike:
        digest = hashlib.blake2b(paths[place].read_bytes(), digest_size=8).digest()
        found[place] = int.from_bytes(digest, "big") >> 1
    return found


def _of_rows(pool: Pool) -> tuple[np.ndarray | None, np.ndarray | None]:
    columns = [hashed(c.codes, n) for n, c in enumerate(pool.columns()) if not numbers_rows(c)]
    target = hashed(pool.target.codes, len(columns))
    alike = is_beyond_chance(columns) if columns and pool.spec.task != "regression" else False
    same = is_beyond_chance([*columns, target]) if columns else False
    whole = np.sum(columns, axis=0, dtype=np.uint64) if columns else None
    return whole if alike else None, whole + target if same and whole is not None else None


def _of_texts(pool: Pool, keys: np.ndarray) -> np.ndarray:
    """Number texts `(N,)` by their tokens, where those that are read and known are equal."""
    encoder = pool.spec.encoder
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    found, known = -1 - np.arange(len(keys)), dict[tuple[str, ...], int]()
    for place in np.flatnonzero(counts[inverse] > 1):
        number = pool.split[place]
        texts = pool.parts[number].source.texts
        if not texts or not isinstance(encoder, Vocabulary):
            return keys
        row = pool.rows(number)[place - pool.starts[number]]
        found[place] = known.setdefault(tuple(cut(texts[row], encoder.unit)), len(known))
    return found


def _texts_by_chance(tokens: Tensor) -> float:
    """Return how many pairs of `(N, L)` texts would be equal if each token were drawn for itself."""
    lengths = (tokens != PADDING).sum(1)
    share = torch.bincount(lengths).double() / len(tokens)
    often = torch.bincount(tokens[tokens != PADDING].long()).double()
    equal = (often / often.sum()).square().sum()
    powers = equal ** torch.arange(len(share), dtype=torch.float64)
    return float((share.square() * powers).sum()) * len(tokens) * (len(tokens) - 1) / 2


def _repeated(pool: Pool, keys: np.ndarray) -> Iterator[Finding]:
    for one, other in ((2, 0), (1, 0), (2, 1)):
        if one < len(pool.parts):
            left, right = (np.flatnonzero(pool.split == number) for number in (one, other))
            found = left[np.isin(keys[left], keys[right])]
            name, size = pool.names[one], pool.sizes[one]
            what = f"{len(found):,} of {size:,} {name} {pool.called} are {pool.names[other]} {pool.called}, too"
            yield from _copies(pool, keys, found, right, what)
    train = np.flatnonzero(pool.split == 0)
    first = np.zeros(len(train), dtype=bool)
    first[np.unique(keys[train], return_index=True)[1]] = True
    found = train[~first]
    what = f"{len(found):,} of {pool.sizes[0]:,} training {pool.called} repeat others"
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
        names = [f"{name} ({words[labels[one]]}, {words[labels[other]]})" for name, (one, other) in zip(named(pool, both), both, strict=True)]
        count = len(np.unique(keys[order][change]))
        one = pool.called if count > 1 else pool.called[:-1]
        yield Finding("conflict", f"{count:,} {one} with more than one label", count, names, pairs=both)


def named(pool: Pool, both: Sequence[tuple[int, int]]) -> list[str]:
    """Call pairs of equal examples as a person would."""
    names = pool.places([place for pair in both for place in pair])
    return [f"{one} = {other}" for one, other in zip(names[::2], names[1::2], strict=True)]
