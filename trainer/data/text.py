"""Labelled short texts, cut into characters or words that a vocabulary of the training split numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainer.data._dividing import divided
from trainer.data._text_columns import text_and_label
from trainer.data._textfile import alike, cleaned, listed, rare, shown
from trainer.data._texts import TextTable, open_texts
from trainer.data._vocabulary import UNKNOWN, Vocabulary, cut, unit_for
from trainer.data.division import Division, Fold
from trainer.data.tensors import DataSpec, Examples, Source, Splits, shaped, spec_of_classes, splits_of, task_of
from trainer.errors import DataError, nearest


def names(
    *, root: str = "data", val_fraction: float = 0.1, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
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
    how: dict[str, Any] = {"separator": ",", "header": False, "text": "1", "label": "2"}
    return text(path=str(path), test_path=str(test_path), val_fraction=val_fraction, seed=seed, fold=fold, **how)


def text(
    *,
    path: str,
    test_path: str | None = None,
    text: str | None = None,
    label: str | None = None,
    tokens: str = "characters",
    max_length: int = 64,
    min_count: int = 2,
    separator: str = "auto",
    header: bool | str = "auto",
    missing: str = "error",
    encoding: str = "utf-8",
    unknown: str = "note",
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    """Load a table of texts and labels (.csv, .tsv, .jsonl, .json, also .gz): inputs `(N, L)` int32.

    A line may also be a text with its label behind `__label__`, as for fastText.

    L is at most `max_length` tokens. A token is a character, or a word in lower case; in scripts without spaces between
    words, each character is one. Tokens with fewer than `min_count` occurrences in the training split count as unknown,
    so that the model learns to handle those.

    Args:
        path: The file.
        test_path: A file that is the test split instead of test_fraction.
        text: The column of the texts, by name or number; by default one named text or the like, or with more values.
        label: The column of the labels.
        tokens: characters or words.
        max_length: Tokens to read of a text.
        min_count: Occurrences in training that make a token known.
        separator: auto, a character, or comma, semicolon, tab or pipe.
        header: Whether the first line names the columns: auto, true or false.
        missing: What to do about a row without text or label: error, or drop it.
        encoding: The text encoding; a byte order mark is recognised.
        unknown: What to do about tokens in other files that are unknown in training: note or error.
        group: A column, such as the author, whose equal values stay in one split.
        time: A column of numbers or dates: training comes before validation, and that before testing.
        split: A column that says train, val or test for each row; a split that no row names is cut from training.
        val_fraction: Fraction of rows for validation.
        test_fraction: Fraction of rows for testing.
        seed: The seed of the split.
        fold: In cross-validation, the part of the rows that is the test split.

    Raises:
        DataError: no such file, a row without text or label, or a label unknown in training; names the line.
        ValueError: an invalid option.
    """
    if tokens not in ("characters", "words") or max_length < 1:
        raise ValueError(f"tokens={tokens} max_length={max_length}: expected characters or words, and at least 1")
    _check(missing, unknown)
    notes: list[str] = []
    how: dict[str, Any] = {"separator": separator, "encoding": encoding, "header": header}
    table = open_texts(path, columns=(text, label), **how)
    at, of, chosen = text_and_label(table, text, label)
    notes += chosen
    names = table.names[at], table.names[of]
    rows = _filled(table, at, of, tokens, missing, notes)
    test_table = open_texts(test_path, columns=names, **how) if test_path else None
    test_rows = _labelled(test_table, *names, tokens, missing, notes) if test_table else []
    labels = sorted({row.label for row in rows})
    if len(labels) < 2:
        raise DataError(f"{path}: the only label is {shown(labels[0])}; expected at least two")
    if len(labels) > max(2, len(rows) / 2):
        what = f"{len(rows):,} rows have {len(labels):,} labels, such as {shown(labels[0])}"
        raise DataError(f"{path}: {what}: is that the column of the labels? data.text= and data.label= choose columns")
    targets, test_targets = _targets(path, rows, labels, path), _targets(str(test_path), test_rows, labels, path)
    if header == "auto" and not table.header and sum(row.label == rows[0].label for row in rows) == 1:
        notes.append(f"only line 1 has the label {shown(rows[0].label)}: if it is a header, set data.header=true")

    sizes = Counter(cleaned(row.label) for row in rows)
    notes.append(f"labels: {listed([f'{cleaned(label)} {sizes[cleaned(label)]:,}' for label in labels], 20)}")
    notes += [*alike(labels), *rare(sizes, "texts")]

    division = Division(val_fraction, None if test_path else test_fraction, seed, fold)
    by = {how: column for how, column in (("group", group), ("time", time), ("split", split)) if column is not None}
    kept = [table.rows[row.number].cells for row in rows]
    cells = {how: [row[table.place(column)] for row in kept] for how, column in by.items()}

    def blame(at: int, what: str) -> DataError:
        column, cell = next((by[how], column[at]) for how, column in cells.items())
        return DataError(f"{path}: line {rows[at].line}, column {column!r}: {shown(cell) if cell else 'empty'} {what}")

    parts, groups = divided(division, targets, cells, blame)
    notes += division.notes("the test file")
    texts, test_texts = ([row.text for row in part] for part in (rows, test_rows))
    unit, more = unit_for([texts[index] for index in parts[0].tolist()], tokens)
    counts = Counter(token for index in parts[0].tolist() for token in cut(texts[index], unit))
    lengths = [len(cut(text, unit)) for text in (*texts, *test_texts)]
    known = tuple(sorted(token for token, count in counts.items() if count >= min_count))
    vocabulary = Vocabulary(known, unit, min(max_length, max(lengths)), *names)
    notes += [f"{len(known)} {tokens} in the vocabulary, at most {vocabulary.max_length} read per text", *more]
    if max(lengths) > max_length:
        notes.append(f"longer and cut: {sum(n > max_length for n in lengths)} texts; data.max_length= reads more")

    source = _source(table, at, of, is_in_time=time is not None)
    splits = splits_of(Examples(vocabulary.encode(texts), targets, _numbers(rows), groups, source), parts)
    if test_table and division.uses_given_test:
        source = _source(test_table, *map(test_table.place, names), file=f" of {cleaned(test_table.path.name)}")
        test = Examples(vocabulary.encode(test_texts), test_targets, _numbers(test_rows), source=source)
        splits = replace(splits, test=test)
        notes += unknown_tokens(str(test_path), vocabulary, test_texts, unknown)
    about = {"vocab_size": len(known) + UNKNOWN + 1, "encoder": vocabulary, "notes": tuple(notes)}
    return splits, spec_of_classes(labels, vocabulary.in_shape, target_name="label", **about)


def other_texts(
    path: str,
    vocabulary: Vocabulary,
    labels: Sequence[str],
    *,
    text: str | None = None,
    label: str | None = None,
    missing: str = "error",
    unknown: str = "note",
    **how: Any,
) -> tuple[Examples, list[str]]:
    """Return the texts of another file, encoded like the training texts, and notes for the user.

    Columns are those of training unless they are given; `how` the file is written is as for `open_texts`.

    Raises:
        DataError: as for the training file, or a label unknown in training.
    """
    _check(missing, unknown)
    notes: list[str] = []
    names = text or vocabulary.text, label or vocabulary.label
    rows = _labelled(open_texts(path, columns=names, **how), *names, vocabulary.unit, missing, notes)
    targets = _targets(path, rows, labels, "the training file")
    texts = [row.text for row in rows]
    return Examples(vocabulary.encode(texts), targets, _numbers(rows)), notes + unknown_tokens(
        path, vocabulary, texts, unknown
    )


def unknown_tokens(name: str, vocabulary: Vocabulary, texts: Sequence[str], unknown: str) -> list[str]:
    """Return a note on tokens that training does not know, if there are any.

    Raises:
        DataError: there are, and `unknown` is error.
    """
    found, total = vocabulary.unknown(texts)
    if not found:
        return []
    what = "characters" if vocabulary.unit == "characters" else "words"
    most = listed([shown(token) for token, _ in found.most_common(5)], 5)
    more = f" and {len(found) - 5:,} others" if len(found) > 5 else ""
    note = f"{cleaned(Path(name).name)}: {found.total():,} of {total:,} {what} are unknown in training: {most}{more}"
    if unknown == "error":
        raise DataError(f"{note}; unknown=note takes them as unknown")
    return [note]


def _check(missing: str, unknown: str) -> None:
    for name, value, valid in [("missing", missing, ("error", "drop")), ("unknown", unknown, ("note", "error"))]:
        if value not in valid:
            raise ValueError(f"{name}={value}: expected {' or '.join(valid)}")


def _targets(path: str, rows: Sequence[Row], labels: Sequence[str], whose: str) -> Tensor:
    """Turn labels into targets; raise a DataError for the first one that is unknown in the training file."""
    number = {label: index for index, label in enumerate(labels)}
    for row in rows:
        if row.label not in number:
            unknown = f"{whose} has no label {shown(row.label)}; {nearest(row.label, labels)}"
            raise DataError(f"{Path(path)}: line {row.line}: {unknown}")
    return shaped(torch.tensor([number[row.label] for row in rows]), task_of(labels))


class Row(NamedTuple):
    """A text, its label, its first line in the file, and its place among the rows, from 0."""

    text: str
    label: str
    line: int
    number: int


def _source(table: TextTable, at: int, of: int, *, file: str = "", is_in_time: bool = False) -> Source:
    """Return what texts in column `at`, with labels in column `of`, were made from; a place ends with `file`."""

    def lines(rows: Sequence[int]) -> list[str]:
        return [f"line {table.rows[row].line}{file}" for row in rows]

    others = {name: table.column(place) for place, name in enumerate(table.names) if place not in (at, of)}
    return Source(lines, others, table.column(at), is_in_time)


def _numbers(rows: Sequence[Row]) -> Tensor:
    return torch.tensor([row.number for row in rows])


def _labelled(table: TextTable, text: str, label: str, unit: str, missing: str, notes: list[str]) -> list[Row]:
    return _filled(table, table.place(text), table.place(label), unit, missing, notes)


def _filled(table: TextTable, at: int, of: int, unit: str, missing: str, notes: list[str]) -> list[Row]:
    """Return a file's rows with text and label; raise a DataError if others may not be dropped."""
    kept: list[Row] = []
    empty: list[Row] = []
    for number, (cells, line) in enumerate(table.rows):
        row = Row(cells[at], cells[of].strip(), line, number)
        (kept if cut(row.text, unit) and row.label else empty).append(row)
    if empty and missing == "error":
        what = "label" if cut(empty[0].text, unit) else "text"
        raise DataError(f"{table.path}: line {empty[0].line}: an empty {what}; data.missing=drop drops such lines")
    if empty:
        notes.append(f"left out: {len(empty)} lines of {cleaned(table.path.name)} without text or label")
    if not kept:
        raise DataError(f"{table.path}: no lines with a text and a label")
    return kept
