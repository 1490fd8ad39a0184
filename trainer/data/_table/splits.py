"""Turn a frame into splits: choose columns, find the task, handle missing cells, and note what was done.

A cell, a column or a target that no model can be fitted to is a DataError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.data._table.encoder import Blame, TableEncoder, fit_column, flaw_of, moments, refuse, settled
from trainer.data._table.file import TableFile
from trainer.data._table.target import infer_target
from trainer.data._textfile import cleaned, listed
from trainer.data.tensors import DataSpec, Examples, Splits, shaped, split, splits_of
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("auto", "regression", "binary", "multiclass")
POLICIES = ("error", "mean", "drop")


def table(
    frame: pd.DataFrame,
    target: str,
    features: Sequence[str],
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    file: TableFile | None = None,
    test_file: TableFile | None = None,
    text: Sequence[str] = (),
    task: str = "auto",
    classes: Sequence[str] = (),
    missing: str = "error",
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[Splits, DataSpec]:
    """Split a frame, whose test split may be another file; everything is fitted to the training rows only.

    Inputs are `(N, F)` float32; targets `(N, 1)` float32 or, for three classes or more, `(N,)` int64. `left_out` maps
    unused columns to the reason. `classes` are the target's values in the order of their numbers, by default sorted.
    """
    for name, value, valid in [("task", task, TASKS), ("missing", missing, POLICIES)]:
        if value not in valid:
            raise ValueError(f"{name}={value} is not one of {', '.join(valid)}")
    where = f"{file.path}: " if file else ""
    blame = file.error if file else _of_memory
    frame = frame[[*features, target]].copy(deep=False)
    for name in frame.columns:
        if name not in text:
            frame[name] = settled(frame[name], blame)
    unusable = {**left_out, **{name: why for name in features if (why := flaw_of(frame[name]))}}
    features = [name for name in features if name not in unusable]
    out = [f"left out: {listed([f'{name} ({why})' for name, why in unusable.items()])}"] if unusable else []
    if not features:
        raise DataError(f"{where}no feature besides the target {target!r}{'; '.join(['', *out])}")
    frame, gaps = _without_missing(frame[[*features, target]], target, missing, blame)
    if len(frame) < 2:
        rest = " without a missing cell" if gaps else ""
        raise DataError(f"{where}{len(frame)} row{'' if len(frame) else 's'}{rest}: too few to split")
    kind, notes = infer_target(frame[target], task, classes, blame, where)
    notes += [*out, *gaps]

    codes = torch.from_numpy(TableEncoder((), kind, fill=False).encode_target(frame, blame))  # (N,)
    parts = split(
        codes,
        val_fraction=val_fraction,
        test_fraction=None if test_file else test_fraction,
        seed=seed,
        stratify=kind.task != "regression",
    )
    rows = parts[0].numpy()
    if kind.task == "regression":
        mean, std = moments(codes.numpy()[rows])
        kind, codes = replace(kind, mean=mean, std=std), (codes - mean) / std
    encoder = TableEncoder(tuple(fit_column(frame[name], rows) for name in features), kind, fill=missing == "mean")
    splits = splits_of(torch.from_numpy(encoder.encode(frame, blame)), shaped(codes, kind.task), parts)
    if test_file:
        examples, gaps = other_rows(test_file, encoder, missing)
        splits, notes = replace(splits, test=examples), [*notes, *gaps]
    constant = _constant(encoder, splits.train.inputs)
    notes += [f"constant in training: {listed(constant)}"] if constant else []
    return splits, _spec(encoder, tuple(notes))


def _constant(encoder: TableEncoder, inputs: Tensor) -> list[str]:
    """Return the columns with one value in all training rows: numbers that became zero, or text of one category."""
    varies, start, found = inputs.any(0).tolist(), 0, []  # (F,)
    for column in encoder.columns:
        if not varies[start] if column.categories is None else len(column.categories) < 2:
            found.append(column.name)
        start += len(column.inputs)
    return found


def _spec(encoder: TableEncoder, notes: tuple[str, ...]) -> DataSpec:
    columns, target = encoder.columns, encoder.target
    scales = [(c.mean, c.std) if c.categories is None else (0.0, 1.0) for c in columns for _ in c.inputs]
    mean, std = torch.tensor(scales, dtype=torch.float64).unbind(1)
    return DataSpec(
        task=target.task,
        in_shape=(len(scales),),
        out_features=len(target.classes) if target.task == "multiclass" else 1,
        class_names=target.class_names,
        feature_names=tuple(name for column in columns for name in column.inputs),
        target_name=target.name,
        feature_mean=mean,
        feature_std=std,
        target_mean=target.mean,
        target_std=target.std,
        encoder=encoder,
        notes=notes,
    )


def other_rows(file: TableFile, encoder: TableEncoder, missing: str) -> tuple[Examples, list[str]]:
    """Return the rows of another file, encoded like the training rows, and notes for the user.

    Columns are found by name, in any order; other columns are ignored.
    """
    names = [column.name for column in encoder.columns]
    frame = file.read(text=encoder.text)[[file.column(name) for name in (*names, encoder.target.name)]]
    frame, notes = _without_missing(frame, encoder.target.name, missing, file.error)
    inputs = torch.from_numpy(encoder.encode(frame, file.error))
    codes = torch.from_numpy(encoder.encode_target(frame, file.error))
    return Examples(inputs, shaped(codes, encoder.target.task)), [
        f"{cleaned(file.path.name)}: {note}" for note in notes
    ]


def _without_missing(frame: pd.DataFrame, target: str, missing: str, blame: Blame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows to use, and notes on missing cells; refuse one that `missing` says nothing about."""
    gaps = frame.isna()
    if missing == "drop":
        whole = ~gaps.any(axis=1)
        note = f"dropped for missing cells: {(~whole).sum():,} of {len(frame):,} rows"
        return (frame, []) if whole.all() else (frame[whole], [note])
    refuse(frame[target], gaps[target], "in the target; data.missing=drop drops such rows", blame)
    counts = gaps.sum()
    counts = counts[counts > 0]
    if missing == "error" and len(counts):
        row = int(gaps.any(axis=1).to_numpy().argmax())
        name = frame.columns[gaps.iloc[row].argmax()]
        cure = "data.missing=mean fills it in, data.missing=drop drops such rows"
        raise blame(int(frame.index[row]), name, f"where a value was expected; {cure}")
    filled = [f"{name} {count:,}" for name, count in counts.items()]
    return frame, [f"filled in missing cells: {listed(filled)}"] if filled else []


def _of_memory(row: int, column: str, problem: str) -> DataError:
    """Return an error about a cell of a table without a file."""
    return DataError(f"row {row}, column {column!r}: {problem}")
