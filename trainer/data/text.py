"""Labelled short texts, cut into characters or words that a vocabulary of the training split numbers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.data._textfile import cleaned, data_errors, head, open_text, rare, shown
from trainer.data._vocabulary import CUTTERS, UNKNOWN, Vocabulary, cut
from trainer.data.tensors import DataSpec, Examples, Splits, shaped, spec_of_classes, split, splits_of, task_of
from trainer.errors import DataError, nearest


def names(*, root: str = "data", val_fraction: float = 0.1, seed: int = 0) -> tuple[Splits, DataSpec]:
    """Load family names of 18 countries, by character, from names_train.csv.gz and names_test.csv.gz in `<root>/names`.

    This is the data of the names classifiers in Liu's PyTorch course (2019) and in Robertson's PyTorch tutorial.

    Raises:
        DataError: a file is missing or broken.
    """
    path, test_path = (Path(root) / "names" / f"names_{part}.csv.gz" for part in ("train", "test"))
    for file in (path, test_path):
        if not file.is_file():
            raise DataError(
                f"{file.absolute()}: no such file; expected lines of name,country; data.root= sets another folder, "
                "and data=text reads your own texts"
            )
    return text(path=str(path), test_path=str(test_path), val_fraction=val_fraction, seed=seed)


def text(
    *,
    path: str,
    test_path: str | None = None,
    tokens: str = "characters",
    max_length: int = 64,
    min_count: int = 2,
    header: bool = False,
    missing: str = "error",
    encoding: str = "utf-8",
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Load a CSV file of texts and labels (.csv, .csv.gz): inputs `(N, L)` int32, L at most `max_length` tokens.

    A token is a character, or a word in lower case. Tokens with fewer than `min_count` occurrences in the training
    split count as unknown, so that the model learns to handle those. `missing=drop` drops lines without text or label.
    If `test_path` is given, that file is the test split, and `test_fraction` is not used.

    Raises:
        DataError: no such file, a line without text and label, or a label unknown in training; names the line.
        ValueError: an invalid option.
    """
    if tokens not in CUTTERS or max_length < 1:
        raise ValueError(f"tokens={tokens} max_length={max_length}: expected characters or words, and at least 1")
    if missing not in ("error", "drop"):
        raise ValueError(f"missing={missing}: expected error or drop")
    notes: list[str] = []
    rows, test_rows = (
        _filled(Path(file), tokens, header, missing, encoding, notes) if file else [] for file in (path, test_path)
    )
    labels = sorted({row.label for row in rows})
    if len(labels) < 2:
        raise DataError(f"{path}: the only label is {shown(labels[0])}; expected at least two")
    targets, test_targets = _targets(path, rows, labels, path), _targets(str(test_path), test_rows, labels, path)
    if not header and sum(row.label == rows[0].label for row in rows) == 1:
        notes.append(f"only line 1 has the label {shown(rows[0].label)}: if it is a header, set data.header=true")

    notes += rare({cleaned(label): count for label, count in Counter(row.label for row in rows).items()}, "texts")

    elsewhere = None if test_path else test_fraction
    parts = split(targets, val_fraction=val_fraction, test_fraction=elsewhere, seed=seed, stratify=True)
    texts, test_texts = ([row.text for row in part] for part in (rows, test_rows))
    counts = Counter(token for index in parts[0].tolist() for token in cut(texts[index], tokens))
    lengths = [len(cut(text, tokens)) for text in (*texts, *test_texts)]
    known = tuple(sorted(token for token, count in counts.items() if count >= min_count))
    vocabulary = Vocabulary(known, tokens, min(max_length, max(lengths)))
    notes.append(f"{len(known)} {tokens} in the vocabulary, at most {vocabulary.max_length} read per text")
    if max(lengths) > max_length:
        notes.append(f"longer and cut: {sum(n > max_length for n in lengths)} texts; data.max_length= reads more")

    splits = splits_of(vocabulary.encode(texts), targets, parts)
    if test_path:
        splits = replace(splits, test=Examples(vocabulary.encode(test_texts), test_targets))
    about = {"vocab_size": len(known) + UNKNOWN + 1, "encoder": vocabulary, "notes": tuple(notes)}
    return splits, spec_of_classes(labels, vocabulary.in_shape, target_name="label", **about)


def other_texts(
    path: str,
    vocabulary: Vocabulary,
    labels: Sequence[str],
    *,
    header: bool = False,
    missing: str = "error",
    encoding: str = "utf-8",
) -> tuple[Examples, list[str]]:
    """Return the texts of another file, encoded like the training texts, and notes for the user.

    Raises:
        DataError: as for the training file, or a label unknown in training.
    """
    notes: list[str] = []
    rows = _filled(Path(path), vocabulary.unit, header, missing, encoding, notes)
    targets = _targets(path, rows, labels, "the training file")
    return Examples(vocabulary.encode([row.text for row in rows]), targets), notes


def _targets(path: str, rows: Sequence[Row], labels: Sequence[str], whose: str) -> Tensor:
    """Turn labels into targets; raise a DataError for the first one that is unknown in the training file."""
    number = {label: index for index, label in enumerate(labels)}
    for row in rows:
        if row.label not in number:
            unknown = f"{whose} has no label {shown(row.label)}; {nearest(row.label, labels)}"
            raise DataError(f"{Path(path)}: line {row.line}: {unknown}")
    return shaped(torch.tensor([number[row.label] for row in rows]), task_of(labels))


class Row(NamedTuple):
    """A text, its label, and its first line in the file."""

    text: str
    label: str
    line: int


def _filled(file: Path, unit: str, header: bool, missing: str, encoding: str, notes: list[str]) -> list[Row]:
    """Return a file's rows with text and label; raise a DataError if others may not be dropped."""
    rows = list(_rows(file, encoding))[header:]
    kept: list[Row] = []
    empty: list[Row] = []
    for row in rows:
        (kept if cut(row.text, unit) and row.label else empty).append(row)
    if empty and missing == "error":
        what = "label" if cut(empty[0].text, unit) else "text"
        raise DataError(f"{file}: line {empty[0].line}: an empty {what}; data.missing=drop drops such lines")
    if empty:
        notes.append(f"left out: {len(empty)} lines of {cleaned(file.name)} without text or label")
    if not kept:
        raise DataError(f"{file}: no lines with a text and a label")
    return kept


def _rows(file: Path, encoding: str) -> Iterator[Row]:
    """Yield the rows of a file, except blank lines."""
    _, encoding = head(file, encoding)
    csv.field_size_limit(1 << 24)
    line = 1
    with data_errors(file, encoding), open_text(file, encoding) as lines:
        reader = csv.reader(iter(lines.readline, ""), strict=True, skipinitialspace=True)
        try:
            for fields in reader:
                if len(fields) not in (0, 2):
                    raise DataError(f"{file}: line {line} has {len(fields)} fields, expected 2: text and label")
                if fields:
                    yield Row(fields[0], fields[1].strip(), line)
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{file}: the row that starts in line {line} cannot be read: {error}") from error
