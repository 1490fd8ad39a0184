"""Tables: columns of numbers, standardised by the training rows, with one column to predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data.tensors import DataSpec, Splits, split, splits_of
from trainer.errors import DataError, nearest


def diabetes(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """scikit-learn's diabetes: 442 patients, 10 measurements, disease progression after a year (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return table(
        data.data,
        data.target,
        feature_names=tuple(data.feature_names),
        target_name="progression",
        task="regression",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )


def csv(
    *,
    path: str,
    target: str,
    task: str = "auto",
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """A file of numbers with a header line; `target` is the column to predict, all others are features.

    `task` is regression, binary or multiclass; `auto` takes whole numbers from 0 to K - 1 that all occur, for
    K up to 20, as classes, and anything else as a regression.

    Raises:
        DataError: no such file or column, or a cell that is no finite number; names line and column.
        ValueError: a task that does not exist.
    """
    import pandas as pd

    file, target = Path(path), str(target)
    if not file.is_file():
        raise DataError(f"{file.absolute()}: {'a folder, not a file' if file.is_dir() else 'no such file'}")
    try:
        frame = pd.read_csv(file, skipinitialspace=True)
    except (ValueError, OSError, EOFError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{file}: cannot be read as a table: {' '.join(str(error).split())}") from error
    names = [str(name) for name in frame.columns]
    if target not in names:
        raise DataError(f"{file}: no column {target!r}; {nearest(target, names)}")
    if len(names) < 2 or not len(frame):
        raise DataError(
            f"{file}: {len(frame)} rows and columns {', '.join(names)}; expected rows, and features beside {target!r}"
        )
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0]
        cell = frame.iat[row, column]
        found = "an empty cell" if pd.isna(cell) else f"{cell!r}"
        line = _line_of(file, int(row) + 1)
        raise DataError(f"{file}: line {line}, column {names[column]!r}: {found} where a finite number was expected")
    at = names.index(target)
    return table(
        np.delete(numbers, at, axis=1),
        numbers[:, at],
        feature_names=(*names[:at], *names[at + 1 :]),
        target_name=target,
        task=task,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )


def _line_of(file: Path, row: int) -> int:
    """The line of a row, counted from 1, where the header is row 0 and blank lines are none."""
    with file.open("rb") as lines:
        filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    return filled[row] if row < len(filled) else row + 1


def table(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    feature_names: tuple[str, ...],
    target_name: str,
    task: str,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[Splits, DataSpec]:
    """Splits of `features` `(N, F)` and `targets` `(N,)`, standardised by the training rows.

    A column that is constant there is left unscaled. Classes are whole numbers from 0 to K - 1.
    """
    tasks = ("auto", "regression", "binary", "multiclass")
    if task not in tasks:
        raise ValueError(f"task={task} is not one of {', '.join(tasks)}")
    present = np.unique(targets)
    if task == "auto":
        are_classes = 2 <= len(present) <= 20 and np.array_equal(present, np.arange(len(present)))
        task = "regression" if not are_classes else "binary" if len(present) == 2 else "multiclass"
    if task != "regression" and not np.array_equal(present, np.arange(len(present))):
        values = ", ".join(f"{value:g}" for value in present[:5])
        raise DataError(f"column {target_name!r} has values {values}, ...; {task} needs classes 0 to K - 1")
    if task == "binary" and len(present) != 2:
        raise DataError(f"column {target_name!r} has {len(present)} classes; binary needs 2")

    x, y = torch.tensor(features, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64)
    parts = split(y, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, stratify=task != "regression")
    mean, std = _mean_std(x[parts[0]])
    inputs = ((x - mean) / std).float()
    target_mean, target_std = 0.0, 1.0
    if task == "regression":
        target_mean, target_std = (float(moment) for moment in _mean_std(y[parts[0]]))
        outcomes = ((y - target_mean) / target_std).float()[:, None]  # (N, 1)
    else:
        outcomes = y.long() if task == "multiclass" else y.float()[:, None]
    spec = DataSpec(
        task=task,
        in_shape=(x.shape[1],),
        out_features=len(present) if task == "multiclass" else 1,
        class_names=() if task == "regression" else tuple(f"{value:g}" for value in present),
        feature_names=feature_names,
        target_name=target_name,
        feature_mean=mean,
        feature_std=std,
        target_mean=target_mean,
        target_std=target_std,
    )
    return splits_of(inputs, outcomes, parts), spec


def _mean_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of each column; a deviation of zero is given as one."""
    std = values.std(0, correction=0)
    return values.mean(0), torch.where(std > 0, std, torch.ones_like(std))
