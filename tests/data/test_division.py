"""How examples are divided into splits and folds."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.model_selection import TimeSeriesSplit

from trainer.data._dividing import divided
from trainer.data.division import Division, Fold, as_told, tenths
from trainer.data.folder import image_folder
from trainer.data.tabular import csv
from trainer.data.text import text
from trainer.errors import DataError

LABELS = torch.tensor([0] * 61 + [1] * 30 + [2] * 8 + [3] * 3)


def folds(count, repeat=0, seed=0, **how):
    """Return the parts of each fold."""
    return [Division(0.1, seed=seed, fold=Fold(number, count, repeat)).parts(LABELS, **how) for number in range(count)]


@pytest.mark.parametrize("count", [2, 5, 10])
def test_folds_test_each_example_once_and_have_their_share_of_each_class(count):
    parts = folds(count)
    assert torch.cat([test for *_, test in parts]).sort().values.tolist() == list(range(len(LABELS)))
    sizes = [len(test) for *_, test in parts]
    assert max(sizes) - min(sizes) <= 1
    for of_class in range(4):
        counts = [int((LABELS[test] == of_class).sum()) for *_, test in parts]
        assert max(counts) - min(counts) <= 1
    for part in parts:
        assert torch.cat(part).sort().values.tolist() == list(range(len(LABELS)))
        assert abs(len(part[1]) - 0.1 * len(LABELS)) <= 1


def test_repeats_and_seeds_are_other_divisions():
    one, again, repeated, reseeded = (folds(5, *how)[0][2].tolist() for how in ((), (), (1,), (0, 1)))
    assert one == again
    assert len({tuple(found) for found in (one, repeated, reseeded)}) == 3


def test_folds_of_numbers_spread_their_range():
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0)) ** 4
    for number in range(5):
        *_, test = Division(fold=Fold(number, 5)).parts(tenths(values))
        assert values[test].quantile(0.9).item() == pytest.approx(values.quantile(0.9).item(), rel=0.1)


@pytest.mark.parametrize("fold", [None, Fold(1, 5)])
def test_groups_stay_together(fold):
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(60, (1000,), generator=generator) ** 2 // 60  # of various sizes
    labels = (torch.rand(1000, generator=generator) < 0.2 + 0.6 * (groups % 3 == 0)).long()
    parts = Division(0.1, 0.2, fold=fold).parts(labels, groups=groups)
    assert torch.cat(parts).sort().values.tolist() == list(range(1000))
    found = [{*groups[part].tolist()} for part in parts]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    assert [len(part) / 1000 for part in parts] == pytest.approx([0.7, 0.1, 0.2], abs=0.03)
    for part in parts:
        assert labels[part].float().mean().item() == pytest.approx(labels.float().mean().item(), abs=0.08)


def test_each_group_is_in_one_fold():
    groups = torch.arange(102) // 6
    parts = folds(5, groups=groups)
    assert torch.cat([test for *_, test in parts]).sort().values.tolist() == list(range(102))
    assert sorted(group for *_, test in parts for group in groups[test].unique().tolist()) == list(range(17))


def test_time_goes_from_training_to_testing():
    time = torch.randperm(100, generator=torch.Generator().manual_seed(0)) // 3 * 3  # three at a time
    train, val, test = Division(0.1, 0.2).parts(torch.zeros(100), time=time)
    assert time[train].max() < time[val].min() <= time[val].max() < time[test].min()
    assert [len(train), len(val), len(test)] == pytest.approx([70, 10, 20], abs=2)


def test_few_times_are_divided_as_evenly_as_they_can_be():
    years = torch.arange(1980, 1988).repeat(100)
    train, val, test = (years[part].unique().tolist() for part in Division(0.1, 0.2).parts(years, time=years))
    assert (train, val, test) == ([*range(1980, 1985)], [1985], [1986, 1987])
    tested = [Division(0.1, fold=Fold(number, 3)).parts(years, time=years)[2] for number in range(3)]
    assert [years[test].unique().tolist() for test in tested] == [[1982, 1983], [1984, 1985], [1986, 1987]]
    with pytest.raises(DataError, match="train split is empty: 800 examples in 2 times"):
        Division(0.1, 0.2).parts(years, time=years % 2)


def test_folds_in_time_are_those_of_scikit_learn():
    time = torch.randperm(120, generator=torch.Generator().manual_seed(0)).double()
    expected = [test.tolist() for _, test in TimeSeriesSplit(5).split(np.arange(120))]
    for number, wanted in enumerate(expected):
        train, val, test = Division(0.1, fold=Fold(number, 5)).parts(torch.zeros(120), time=time)
        assert sorted(time[test].tolist()) == wanted
        before = sorted(time[torch.cat([train, val])].tolist())
        assert before == list(range(wanted[0]))
        assert time[train].max() < time[val].min()


def test_splits_as_told_and_what_is_not_told_is_cut_from_training():
    words = ["Train", "train", "dev", "test", " training "] * 20
    train, val, test = as_told(words, torch.zeros(100), Division())
    assert (len(train), len(val), len(test)) == (60, 20, 20)
    assert {words[place] for place in val.tolist()} == {"dev"}
    only_test = ["train"] * 90 + ["test"] * 10
    train, val, test = as_told(only_test, torch.zeros(100), Division())
    assert (len(train), len(val), test.tolist()) == (81, 9, list(range(90, 100)))
    with pytest.raises(DataError, match="'later' names no split"):
        as_told([*only_test, "later"], torch.zeros(101), Division())
    with pytest.raises(ValueError, match="leave out folds="):
        as_told(only_test, torch.zeros(100), Division(fold=Fold(0, 5)))


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["31.01.2024", "01.02.2024", "15.01.2023"], [1, 2, 0]),
        (["01/31/2024", "02/01/2024", "01/15/2023"], [1, 2, 0]),
        (["2024-01-31 10:00", "2024-01-31T09:00:00Z", "2023-12-31"], [2, 1, 0]),
        (["10", "9", "-1.5"], [2, 1, 0]),
        ([10.0, 9.0, -1.5], [2, 1, 0]),
        (["01/02/2024", "02/01/2024", "03/01/2023"], "month and day"),
        (["2024-01-31", "soon", "2023-12-31"], "nor a date"),
        (["2024-01-31", " ", "2023-12-31"], "expects a value"),
    ],
)
def test_times_are_numbers_or_dates_that_have_one_meaning(cells, order):
    def found():
        return divided(
            Division(1 / 3, 1 / 3), torch.zeros(3), {"time": cells}, lambda at, what: DataError(f"{at} {what}")
        )

    if isinstance(order, str):
        with pytest.raises(DataError, match=order):
            found()
    else:
        train, val, test = found().parts
        rank = {place: rank for rank, part in enumerate((train, val, test)) for place in part.tolist()}
        assert [rank[place] for place in range(3)] == order


@pytest.fixture
def patients(tmp_path):
    """Write a table of 300 visits of 60 patients, in three years, with a column that says the split."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "patient": [f"p{n}" for n in np.arange(300) % 60]})
    frame["day"] = pd.date_range("2021-01-01", periods=300, freq="3D").strftime("%Y-%m-%d")
    frame["part"] = np.where(np.arange(300) % 10 == 0, "test", "train")
    frame["ill"] = np.where(frame.x > 0, "yes", "no")
    frame = frame.sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "visits.csv", index=False)
    frame[["part"]].to_csv(tmp_path / "parts.csv", index=False, header=False)
    return frame, tmp_path / "visits.csv"


@pytest.mark.parametrize("kind", ["table", "texts"])
def test_columns_divide_the_rows_of_a_file(patients, kind):
    frame, path = patients
    if kind == "table":

        def load(**how):
            return csv(path=str(path), target="ill", drop=["day", "part"] if "time" not in how else ["part"], **how)
    else:

        def load(**how):
            return text(path=str(path), text="patient", label="ill", min_count=1, **how)

    def rows(splits):
        return [frame.iloc[split.rows.numpy()] for split in (splits.train, splits.val, splits.test)]

    grouped, spec = load(group="patient")
    found = [{*part.patient} for part in rows(grouped)]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    assert len(grouped.test.groups.unique()) == len(found[2])
    in_time = rows(load(time="day")[0])
    assert in_time[0].day.max() < in_time[1].day.min() <= in_time[1].day.max() < in_time[2].day.min()
    with pytest.raises(DataError, match=r"line 2, column 'patient'.*is neither a number nor a date"):
        load(time="patient")
    with pytest.raises(ValueError, match="one of group and time"):
        load(time="day", group="patient")
    if kind == "table":
        assert any("patient (data.group)" in note for note in spec.notes)
    for split in ("part", *([str(path.parent / "parts.csv")] if kind == "table" else [])):
        told = csv(path=str(path), target="ill", split=split)[0] if kind == "table" else load(split=split)[0]
        assert {*rows(told)[2].part} == {"test"}
        assert {*rows(told)[0].part} == {*rows(told)[1].part} == {"train"}


def test_images_of_a_patient_stay_together(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "photos" / ("ill" if number % 2 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        for side in ("left", "right"):
            pixels = rng.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"p{number % 20}-{side}-{number}.png")
    splits, spec = image_folder(path=str(tmp_path / "photos"), group=r"p(\d+)-")
    found = [{*part.groups.tolist()} for part in (splits.train, splits.val, splits.test)]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    assert "groups that stay together: 20" in spec.notes
    with pytest.raises(DataError, match="finds nothing in this path"):
        image_folder(path=str(tmp_path / "photos"), group="patient")
