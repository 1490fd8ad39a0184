"""Tables of numbers and text, with one column to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.data._download import openml
from trainer.data._table.columns import Table, read_table
from trainer.data._table.encoder import is_number
from trainer.data._table.opening import open_table
from trainer.data._table.splits import check_options, table
from trainer.data._table.target import FEW
from trainer.data.tensors import DataSpec, Splits

if TYPE_CHECKING:
    import pandas as pd

BOSTON = ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat", "medv")
PIMA = (
    "Pregnancies",
    "Glucose",
    "BloodPressure",
    "SkinThickness",
    "Insulin",
    "BMI",
    "DiabetesPedigreeFunction",
    "Age",
    "Outcome",
)


def csv(
    *,
    path: str,
    target: str | int,
    task: str = "auto",
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    text: Sequence[str] = (),
    keep: Sequence[str] = (),
    missing: str = "auto",
    missing_marks: Sequence[str] = (),
    unknown: str = "note",
    separator: str = "auto",
    decimal: str = ".",
    thousands: str = "auto",
    encoding: str = "utf-8",
    header: bool = True,
    test_path: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Load a table from a text file (.csv, .tsv, with or without .gz); `target` is the column to predict.

    Numbers are standardised by the training rows. Text becomes one input, 1 or 0, for each category in them; other
    categories are zero in all. Text with more than 100 categories or mostly distinct cells is left out, with a note,
    as are numbers that count the rows, or a key such as id. True and false are 1 and 0. Percent, currencies, units and
    thousands separators are read where all cells of a column agree. A column of numbers with more than a few words is
    text. Rows without a target are left out.

    Args:
        path: The file.
        target: The column to predict; without a header, its number from 1, or from -1 for the last.
        task: regression, binary or multiclass. auto: two values mean binary; text, the whole numbers 0 to K - 1 with K
            up to 20, or up to 20 codes such as 007 mean multiclass; other numbers mean regression. Values that are
            classes in all but a few rows are refused as mistakes. If given, any values are classes, in sorted order.
        features: The columns to use; all by default.
        drop: Columns to leave out.
        text: Columns that are text although most of their cells are numbers, such as codes.
        keep: Columns to use although they would be left out, such as an id.
        missing: What to do about a missing cell: auto fills in the median of the training rows and adds an input that
            marks it, or makes missing text a category; mean fills in the mean, or zero in all categories; drop drops
            its row; error stops. A target is never filled in.
        missing_marks: Words that mark a missing cell in every column. An empty cell always does and, among numbers, so
            do the usual marks: NA, N/A, nan, null, none, ?, -, ...
        unknown: What to do about words in other files that are unknown in training: note or error.
        separator: auto, a character, or comma, semicolon, tab, pipe or space.
        decimal: The decimal sign: point or comma.
        thousands: The thousands separator: auto, none, comma, point, space or apostrophe.
        encoding: The text encoding; a byte order mark is recognised.
        header: Whether the first line names the columns; otherwise they are named 1, 2, 3, ...
        test_path: A file with the same columns, in any order, that is the test split instead of test_fraction.
        val_fraction: Fraction of rows for validation.
        test_fraction: Fraction of rows for testing.
        seed: The seed of the split.

    Raises:
        DataError: the file is invalid; names line, column and value.
        ValueError: an invalid option.
    """
    given = {name: value for name, value in locals().items() if name != "seed" and (value or None) != DEFAULTS[name]}
    how: dict[str, Any] = {"separator": separator, "decimal": decimal, "thousands": thousands, "encoding": encoding}
    how |= {"header": header, "missing_marks": missing_marks}
    check_options(task=task, missing=missing, unknown=unknown)
    file = open_table(path, **how)
    test_file = open_table(test_path, **how) if test_path else None
    target, out, words, keep = file.column(target), {*file.columns(drop)}, file.columns(text), file.columns(keep)
    left_out = {}
    if features is None:
        left_out = {name: "no name" for name in file.unnamed if name not in (target, *out, *keep)}
        used = [name for name in file.names if name != target and name not in out and name not in left_out]
    else:
        used = [name for name in file.columns(features) if name not in out]
    if target in used or target in out:
        raise ValueError(f"the target {target!r} is among the columns to use or to drop")
    if task == "auto" and file.code(target) and len({*file.sample(target)}) <= FEW:  # 007 is a label
        words.append(target)
    found = read_table(file, [*used, target], text=words)
    if features is not None:  # chosen numbers are never keys
        keep += [name for name in used if is_number(found.frame[name])]
    return table(
        found,
        target,
        used,
        left_out=left_out,
        keep=keep,
        file=file,
        test_file=test_file,
        task=task,
        missing=missing,
        unknown=unknown,
        given=given,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )


DEFAULTS = {name: parameter.default or None for name, parameter in signature(csv).parameters.items()}


def boston(
    *,
    root: str = "data",
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    missing: str = "error",
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Load Boston housing: 506 districts, 13 features, median value of homes in 1000 $ (Harrison and Rubinfeld 1978).

    Read from `<root>/boston.csv`, which is downloaded from OpenML if missing. `medv` is capped at 50, and `b` is
    derived from the proportion of Black residents: use it to learn from, not to draw conclusions.

    Raises:
        DataError: the file is missing and cannot be downloaded, or has other columns.
    """
    how = {"drop": drop, "missing": missing, "val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    return _from_openml(Path(root) / "boston.csv", 531, BOSTON, {}, features, task="regression", **how)


def pima(
    *,
    root: str = "data",
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    missing: str = "error",
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Load Pima diabetes: 768 women, 8 measurements, diabetes within five years or not (Smith et al. 1988).

    Read from `<root>/pima_diabetes.csv`, which is downloaded from OpenML if missing. In Glucose, BloodPressure,
    SkinThickness, Insulin and BMI, 0 means a missing value, but is kept.

    Raises:
        DataError: the file is missing and cannot be downloaded, or has other columns.
    """
    how = {"drop": drop, "missing": missing, "val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    classes = {"tested_negative": 0, "tested_positive": 1}
    return _from_openml(Path(root) / "pima_diabetes.csv", 37, PIMA, classes, features, task="binary", **how)


def _from_openml(
    path: Path,
    data_id: int,
    columns: Sequence[str],
    classes: Mapping[str, int],
    features: Sequence[str] | None,
    **how: Any,
) -> tuple[Splits, DataSpec]:
    """Load a table that is downloaded if it is missing; the last of its `columns` is the target."""
    openml(path, data_id, columns, classes)
    return csv(path=str(path), target=columns[-1], features=columns[:-1] if features is None else features, **how)


def diabetes(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's diabetes: 442 patients, 10 measurements, progression after a year (Efron et al. 2004)."""
    return _embedded("diabetes", "progression", "regression", val_fraction, test_fraction, seed)


def iris(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's iris: 150 flowers, 4 measurements, 3 species (Fisher 1936)."""
    return _embedded("iris", "species", "multiclass", val_fraction, test_fraction, seed)


def wine(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's wine: 178 wines, 13 chemical measurements, 3 cultivars (Aeberhard et al. 1992)."""
    return _embedded("wine", "cultivar", "multiclass", val_fraction, test_fraction, seed)


def breast_cancer(*, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's breast cancer: 569 tumours, 30 measurements, malignant (0) or benign (Street et al. 1993)."""
    return _embedded("breast_cancer", "diagnosis", "binary", val_fraction, test_fraction, seed)


def _embedded(
    name: str, target: str, task: str, val_fraction: float, test_fraction: float, seed: int
) -> tuple[Splits, DataSpec]:
    """Load one of scikit-learn's tables, with its order of classes."""
    import pandas as pd
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    classes = [] if task == "regression" else [str(value) for value in data.target_names]
    frame = pd.DataFrame(data.data, columns=list(data.feature_names))
    frame[target] = pd.Categorical.from_codes(data.target, classes) if classes else data.target
    fractions: dict[str, Any] = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    return table(Table(frame), target, list(data.feature_names), task=task, classes=classes, seed=seed, **fractions)


def from_frame(
    frame: pd.DataFrame,
    target: str,
    *,
    task: str = "auto",
    missing: str = "auto",
    keep: Sequence[str] = (),
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Splits, DataSpec]:
    """Split a DataFrame for a dataset of your own; `predict` and `eval` then read CSV files with these columns.

    Columns of numbers and truth values are inputs as they are; all others are text. The settings are those of `csv`.

    Raises:
        DataError: a column that no model can be fitted to.
        ValueError: an invalid option.
    """
    import pandas as pd

    columns = {}
    for name, cells in frame.items():
        if pd.api.types.is_numeric_dtype(cells) and not (name == target and pd.api.types.is_bool_dtype(cells)):
            columns[str(name)] = pd.Series(cells.to_numpy(dtype="float64", na_value=float("nan")))
        else:
            words = cells.astype(object).where(cells.notna(), None).map(str, na_action="ignore")
            columns[str(name)] = pd.Series(pd.Categorical(words))
    features = [name for name in columns if name != target]
    options: dict[str, Any] = {"task": task, "missing": missing, "keep": keep, "seed": seed}
    fractions: dict[str, Any] = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    return table(Table(pd.DataFrame(columns)), target, features, **options, **fractions)
