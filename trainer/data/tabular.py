"""Tables of numbers and text, with one column to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.data._download import openml
from trainer.data._split_names import split_named
from trainer.data._table.columns import Table, read_table
from trainer.data._table.encoder import is_number
from trainer.data._table.opening import open_table
from trainer.data._table.splits import check_options, table
from trainer.data._table.target import FEW
from trainer.data.division import Division, Fold
from trainer.data.tensors import DataSpec, Splits
from trainer.errors import DataError

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
    group: str | int | None = None,
    time: str | int | None = None,
    split: str | None = None,
    stratify: bool = False,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    """Load a table from a file (.csv, .tsv, .json or .jsonl, also .gz); `target` is the column to predict.

    Numbers are standardised by the training rows. Text becomes one input, 1 or 0, for each category in them; other
    categories are zero in all. Text with more than 100 categories or mostly distinct cells is left out, with a note, as
    is a key such as id: whole numbers that all differ. Under other names these are noted only, as are times that are
    one number. True and false are 1 and 0. Percent, currencies, units, thousands separators, x are read where the cells
    of a column agree; what may be two numbers is refused. A column of numbers with more than a few words is text. Rows
    without a target are left out, and so are titles above the header. Cells may be in single quotes. JSON holds an
    object per row, or a list per column.

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
        group: A column, such as the patient, whose equal values stay in one split; it is no feature.
        time: A column of numbers or dates: training comes before validation, and that before testing; no feature.
        split: A column, or another file with one, that says train, val or test for each row; a split that no row names
            is cut from training.
        stratify: Whether a regression's target is spread evenly over the splits, by tenths; classes always are.
        val_fraction: Fraction of rows for validation.
        test_fraction: Fraction of rows for testing.
        seed: The seed of the split.
        fold: In cross-validation, the part of the rows that is the test split.

    Raises:
        DataError: the file is invalid; names line, column and value.
        ValueError: an invalid option.
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("seed", "fold") and (value or None) != DEFAULTS[name]
    }
    how: dict[str, Any] = {"separator": separator, "decimal": decimal, "thousands": thousands, "encoding": encoding}
    how |= {"header": header, "missing_marks": missing_marks}
    check_options(task=task, missing=missing, unknown=unknown)
    file = open_table(path, **how)
    test_file = open_table(test_path, **how) if test_path else None
    target, out, words, keep = file.column(target), {*file.columns(drop)}, file.columns(text), file.columns(keep)
    by = {how: file.column(name) for how, name in (("group", group), ("time", time)) if name is not None}
    is_file = split is not None and split not in file.names and Path(split).expanduser().is_file()
    by |= {"split": file.column(split)} if split is not None and not is_file else {}
    left_out = {}
    if features is None:
        left_out = {name: "no name" for name in file.unnamed if name not in (target, *out, *keep)}
        left_out |= {name: f"data.{how}" for how, name in by.items() if name not in keep}
        used = [name for name in file.names if name != target and name not in out and name not in left_out]
    else:
        used = [name for name in file.columns(features) if name not in out]
    if target in used or target in out:
        raise ValueError(f"the target {target!r} is among the columns to use or to drop")
    if task == "auto" and file.code(target) and len({*file.sample(target)}) <= FEW:  # 007 is a label
        words.append(target)
    words += [name for how, name in by.items() if how != "time" and name not in used]
    found = read_table(file, [*used, target, *(name for name in by.values() if name not in used)], text=words)
    if split and is_file:
        by["split"] = "data.split"
        found.frame["data.split"] = _splits_in(split, how, path, len(found.frame))
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
        division=Division(val_fraction, None if test_path else test_fraction, seed, fold),
        by=by,
        stratify=stratify,
    )


def _splits_in(split: str, how: Mapping[str, Any], path: str, num_rows: int) -> pd.Series:
    """Return the only column of a file, written like the table in `path`, that says the split of each of its rows."""
    file = open_table(split, single=True, **how)
    if split_named(file.names[0]):
        file = open_table(split, single=True, **{**how, "header": False})
    frame = file.read(file.names)
    if len(file.names) != 1 or len(frame) != num_rows:
        found = f"{len(file.names):,} columns and {len(frame):,} rows"
        wanted = f"expected 1 column that says train, val or test for each of the {num_rows:,} rows of {path}"
        raise DataError(f"{file.path}: {found}; {wanted}")
    return frame[file.names[0]]


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
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    """Load Boston housing: 506 districts, 13 features, median value of homes in 1000 $ (Harrison and Rubinfeld 1978).

    Read from `<root>/boston.csv`, which is downloaded from OpenML if missing. `medv` is capped at 50, and `b` is
    derived from the proportion of Black residents: use it to learn from, not to draw conclusions.

    Raises:
        DataError: the file is missing and cannot be downloaded, or has other columns.
    """
    how = {"drop": drop, "missing": missing, "seed": seed, "fold": fold}
    how |= {"val_fraction": val_fraction, "test_fraction": test_fraction}
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
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    """Load Pima diabetes: 768 women, 8 measurements, diabetes within five years or not (Smith et al. 1988).

    Read from `<root>/pima_diabetes.csv`, which is downloaded from OpenML if missing. In Glucose, BloodPressure,
    SkinThickness, Insulin and BMI, 0 means a missing value, but is kept.

    Raises:
        DataError: the file is missing and cannot be downloaded, or has other columns.
    """
    how = {"drop": drop, "missing": missing, "seed": seed, "fold": fold}
    how |= {"val_fraction": val_fraction, "test_fraction": test_fraction}
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


def diabetes(
    *, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's diabetes: 442 patients, 10 measurements, progression after a year (Efron et al. 2004)."""
    return _embedded("diabetes", "progression", "regression", Division(val_fraction, test_fraction, seed, fold))


def iris(
    *, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's iris: 150 flowers, 4 measurements, 3 species (Fisher 1936)."""
    return _embedded("iris", "species", "multiclass", Division(val_fraction, test_fraction, seed, fold))


def wine(
    *, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's wine: 178 wines, 13 chemical measurements, 3 cultivars (Aeberhard et al. 1992)."""
    return _embedded("wine", "cultivar", "multiclass", Division(val_fraction, test_fraction, seed, fold))


def breast_cancer(
    *, val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0, fold: Fold | None = None
) -> tuple[Splits, DataSpec]:
    """Load scikit-learn's breast cancer: 569 tumours, 30 measurements, malignant (0) or benign (Street et al. 1993)."""
    return _embedded("breast_cancer", "diagnosis", "binary", Division(val_fraction, test_fraction, seed, fold))


def _embedded(name: str, target: str, task: str, division: Division) -> tuple[Splits, DataSpec]:
    """Load one of scikit-learn's tables, with its order of classes."""
    import pandas as pd
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    classes = [] if task == "regression" else [str(value) for value in data.target_names]
    frame = pd.DataFrame(data.data, columns=list(data.feature_names))
    frame[target] = pd.Categorical.from_codes(data.target, classes) if classes else data.target
    return table(Table(frame), target, list(data.feature_names), task=task, classes=classes, division=division)


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
    fold: Fold | None = None,
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
    division = Division(val_fraction, test_fraction, seed, fold)
    options: dict[str, Any] = {"task": task, "missing": missing, "keep": keep, "division": division}
    return table(Table(pd.DataFrame(columns)), target, features, **options)
