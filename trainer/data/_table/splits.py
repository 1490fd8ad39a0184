"""Turn a frame into splits: choose columns, find the task, handle missing cells, and note what was done.

A cell, a column or a target that no model can be fitted to is a DataError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trainer.data._dividing import Divided, divided
from trainer.data._table.columns import Problem, Table, read_table, refusal
from trainer.data._table.encoder import TableEncoder, fit_column, is_number, moments
from trainer.data._table.features import flaw_of, suspicions
from trainer.data._table.file import TableFile
from trainer.data._table.numerals import SHARE
from trainer.data._table.target import FEW, infer_target, variants
from trainer.data._textfile import bracketed, cleaned, listed
from trainer.data.division import Division, tenths
from trainer.data.tensors import DataSpec, Examples, Source, Splits, by_number, shaped, splits_of
from trainer.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("auto", "regression", "binary", "multiclass")
POLICIES = ("auto", "error", "mean", "drop")
UNKNOWN = ("note", "error")


def table(
    found: Table,
    target: str,
    features: Sequence[str],
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    keep: Sequence[str] = (),
    file: TableFile | None = None,
    test_file: TableFile | None = None,
    task: str = "auto",
    classes: Sequence[str] = (),
    missing: str = "error",
    unknown: str = "note",
    given: Mapping[str, Any] = MappingProxyType({}),
    division: Division,
    by: Mapping[str, str] = MappingProxyType({}),
    stratify: bool = False,
) -> tuple[Splits, DataSpec]:
    """Split a table, whose test split may be another file; everything is fitted to the training rows only.

    Inputs are `(N, F)` float32; targets `(N, 1)` float32 or, for three classes or more, `(N,)` int64. `left_out` maps
    unused columns to the reason; those in `keep` are used in any case. `classes` are the target's values in the order
    of their numbers, by default sorted. `by` names the column, if any, that divides rows by group, time or split.
    Classes are divided evenly and, with `stratify` and in cross-validation, the tenths of a regression's targets. An
    error ends in a command line of the `given` settings and its cures.
    """
    check_options(task=task, missing=missing, unknown=unknown)
    where = f"{file.path}: " if file else ""
    blame = file.error if file else _of_memory
    frame = found.frame
    flaws = {name: why for name in features if (why := flaw_of(frame[name], name in keep))}
    unusable = {**left_out, **{name: found.words.get(name, why) for name, why in flaws.items()}}
    if features and all(name in unusable for name in features):  # rather a key than nothing
        unusable = {name: why for name, why in unusable.items() if name not in features or not is_number(frame[name])}
    features = [name for name in features if name not in unusable]
    out = [f"left out: {listed([f'{name} ({why})' for name, why in unusable.items()])}"] if unusable else []
    if len(features) > 1:
        out += suspicions(frame, [name for name in features if name not in keep])
    if not features:
        kept = [name for name, why in flaws.items() if why != "empty"][:5]
        cure = [f"data.keep={bracketed(kept)} uses {'it' if len(kept) == 1 else 'them'}"] if kept else []
        raise DataError(f"{where}no feature besides the target {target!r}{'; '.join(['', *out, *cure])}")
    frame, gaps, problems = _without_missing(frame[[*features, target]], target, missing, file)
    problems |= found.problems
    if target in problems and found.frame[target].isna().mean() > SHARE and found.frame[target].nunique() <= FEW:
        problems[target] = problems[target]._replace(key="text", value=(target,))  # 1, 2, 3, other: classes
    if file and problems:
        raise refusal(file.path, problems.values(), given)
    if len(frame) < 2:
        rest = " without a missing cell" if gaps else ""
        raise DataError(f"{where}{len(frame)} row{'' if len(frame) == 1 else 's'}{rest}: too few to split")
    kind, names, notes = infer_target(frame[target], task, classes, blame, where, file)
    codes = torch.from_numpy(TableEncoder((), kind, fill=False).encode_target(frame, blame))  # (N,)
    kind = replace(kind, classes=names)
    if target in found.gaps:
        gaps.append(
            f"read as missing: {target} ({found.gaps[target]}); data.text={bracketed([target])} makes it a class"
        )
    notes += file.notes if file else []
    notes += [*found.notes([*features, target]), *out, *gaps]
    notes += [note for name in features if not is_number(frame[name]) for note in variants(frame[name])]

    parts, groups = _divided(found.frame.loc[frame.index], codes, kind.task, division, by, stratify, blame)
    rows = parts[0].numpy()
    if kind.task == "regression":
        mean, std = moments(codes.numpy()[rows])
        kind, codes = replace(kind, mean=mean, std=std), (codes - mean) / std
    fitted = [fit_column(frame[name], rows, found.units.get(name), auto=missing == "auto") for name in features]
    columns = tuple(column for parts_of in fitted for column in parts_of)
    encoder = TableEncoder(columns, kind, fill=missing in ("auto", "mean"))
    examples = Examples(
        torch.from_numpy(encoder.encode(frame, blame)),
        shaped(codes, kind.task),
        torch.from_numpy(frame.index.to_numpy(np.int64, copy=True)),
        groups,
        _source(found, file, is_in_time="time" in by),
    )
    splits = splits_of(examples, parts)
    if test_file and division.uses_given_test:
        examples, more = other_rows(test_file, encoder, missing, unknown)
        splits, notes = replace(splits, test=examples), [*notes, *more]
    constant = _constant(encoder, splits.train.inputs)
    notes += [f"constant in training: {listed(constant)}"] if constant else []
    return splits, spec_of(encoder, tuple(notes))


def _divided(
    frame: pd.DataFrame,
    codes: Tensor,
    task: str,
    division: Division,
    by: Mapping[str, str],
    stratify: bool,
    blame: Callable[[int, str, str], DataError],
) -> Divided:
    """Divide the rows of a frame whose target has these codes, `(N,)`."""
    labels = codes
    if task == "regression":
        labels = tenths(codes) if stratify or division.fold else torch.zeros(len(codes))

    def blamed(place: int, what: str) -> DataError:
        return blame(int(frame.index[place]), next(iter(by.values())), what)

    return divided(division, labels, {how: frame[name].to_numpy() for how, name in by.items()}, blamed)


def _source(found: Table, file: TableFile | None, *, suffix: str = "", is_in_time: bool = False) -> Source:
    """Return what the rows of a table were made from; a place ends with `suffix`."""

    def lines(rows: Sequence[int]) -> list[str]:
        numbers = file.lines(rows) if file else {}
        return [f"line {numbers[row]}{suffix}" for row in rows]

    columns = {str(name): cells for name, cells in found.frame.items()} | found.others
    return Source(lines if file else by_number, columns, is_in_time=is_in_time)


def check_options(**options: str) -> None:
    """Raise a ValueError for an option without such a value."""
    valid = {"task": TASKS, "missing": POLICIES, "unknown": UNKNOWN}
    for name, value in options.items():
        if value not in valid[name]:
            raise ValueError(f"{name}={value} is not one of {', '.join(valid[name])}")


def _constant(encoder: TableEncoder, inputs: Tensor) -> list[str]:
    """Return the columns with one value in all training rows: numbers that became zero, or text of one category."""
    varies, start, found = inputs.any(0).tolist(), 0, []  # (F,)
    for column in encoder.columns:
        if not varies[start] if not column.is_text else len(column.categories or ()) < 2:
            found.append(column.name)
        start += len(column.inputs)
    return found


def spec_of(encoder: TableEncoder, notes: tuple[str, ...]) -> DataSpec:
    """Describe rows that this encoder encodes."""
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


def other_rows(
    file: TableFile, encoder: TableEncoder, missing: str, unknown: str = "note"
) -> tuple[Examples, list[str]]:
    """Return the rows of another file, encoded like the training rows, and notes for the user.

    Columns are found by name, in any order; other columns are ignored.
    """
    found, notes = like_training(file, encoder, [*encoder.names, encoder.target.name], unknown)
    frame, gaps, problems = _without_missing(found.frame, encoder.target.name, missing, file)
    if problems:
        raise refusal(file.path, problems.values())
    if not len(frame):
        raise DataError(f"{file.path}: 0 rows without a missing cell")
    inputs = torch.from_numpy(encoder.encode(frame, file.error))
    codes = torch.from_numpy(encoder.encode_target(frame, file.error))
    rows = torch.from_numpy(frame.index.to_numpy(np.int64, copy=True))
    source = _source(found, file, suffix=f" of {cleaned(file.path.name)}")
    examples = Examples(inputs, shaped(codes, encoder.target.task), rows, source=source)
    return examples, [f"{cleaned(file.path.name)}: {note}" for note in (*notes, *gaps)]


def like_training(
    file: TableFile, encoder: TableEncoder, columns: Sequence[str], unknown: str = "note"
) -> tuple[Table, list[str]]:
    """Read columns as those of the training file, and return notes on what differs.

    Raises:
        DataError: a cell does not fit, a column has another unit or, with `unknown=error`, words unknown in training.
    """
    check_options(unknown=unknown)
    text = [name for name in encoder.text if name in columns]
    found = read_table(file, [file.column(name) for name in columns], text=text, numbers=encoder.numbers)
    if found.problems:
        raise refusal(file.path, found.problems.values())
    found.marks.clear()  # told in training
    notes, gaps = encoder.unknown(found.frame), found.frame[[*encoder.names]].isna().sum()
    if notes and unknown == "error":
        raise DataError(f"{file.path}: {'; '.join(notes)}; unknown=note only notes it")
    for column in encoder.columns:
        here, there = found.units.get(column.name, ""), column.unit or ""
        if column.categories is None and here != there:
            said = f"column {column.name}: {here or 'no unit'}, in training {there or 'no unit'}"
            if here and there:
                raise DataError(f"{file.path}: {said}")
            notes.append(said)
    notes += found.notes(columns)
    if encoder.fill and encoder.target.name not in columns and gaps.any():
        notes.append(
            f"filled in missing cells: {listed([f'{name} {count:,}' for name, count in gaps.items() if count])}"
        )
    return found, notes


def _without_missing(
    frame: pd.DataFrame, target: str, missing: str, file: TableFile | None
) -> tuple[pd.DataFrame, list[str], dict[str, Problem]]:
    """Return the rows to use, notes on missing cells, and a problem for each column with any, if they are errors.

    Rows without a target are left out in any case.
    """
    notes = []
    gaps = frame.isna()
    if missing == "drop":
        whole = ~gaps.any(axis=1)
        note = f"dropped for missing cells: {(~whole).sum():,} of {len(frame):,} rows"
        return (frame, [], {}) if whole.all() else (frame[whole], [note], {})
    lost = gaps[target]
    if lost.any():
        notes.append(f"left out without a target: {lost.sum():,} of {len(frame):,} rows")
        frame, gaps = frame[~lost], gaps[~lost]
    counts = gaps.sum()
    counts = counts[counts > 0]
    if not len(counts):
        return frame, notes, {}
    if missing == "error":
        cure = "data.missing=auto fills it in, data.missing=drop drops such rows"
        problem = f"where a value was expected; {cure}"
        rows = {str(name): int(frame.index[gaps[name].to_numpy().argmax()]) for name in counts.index}
        if file is None:
            raise _of_memory(*next((row, name, problem) for name, row in rows.items()))
        ordered = sorted(rows.items(), key=lambda item: item[1])
        return frame, notes, {name: Problem(file.place(row, name, problem), "missing", "auto") for name, row in ordered}
    filled = [f"{name} {count:,}" for name, count in counts.items()]
    how = {
        "mean": "filled in missing cells",
        "auto": "filled in missing cells with the median, or a category of their own",
    }
    return frame, [*notes, f"{how[missing]}: {listed(filled, 10)}"], {}


def _of_memory(row: int, column: str, problem: str) -> DataError:
    """Return an error about a cell of a table without a file."""
    return DataError(f"row {row}, column {column!r}: {problem}")
