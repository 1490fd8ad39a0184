"""Each leak is found in data that was made with it, and where it is."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_data import (
    categories,
    found,
    measured,
    of_csv,
    of_images,
    of_texts,
    patients,
    patterns,
    sentences,
)
from PIL import Image

from trainer.checks.check import check, in_short
from trainer.checks.pool import Pool
from trainer.data import Examples, Splits, from_frame
from trainer.data.folder import image_folder
from trainer.data.images import fashion_mnist
from trainer.data.points import line
from trainer.data.synthetic import linear
from trainer.data.tensors import DataSpec


@pytest.fixture
def random():
    return np.random.default_rng(0)


def finding(made, kind, part=0):
    """Return one finding of a kind."""
    return [one for one in check(Pool(*made)) if one.kind == kind][part]


def test_equal_rows_in_two_splits_are_named_by_their_lines(random, tmp_path):
    frame = measured(random, 300)
    frame["note"] = 'of "two\nlines"'
    frame = pd.concat([frame, frame.iloc[[5, 17]]])
    frame["where"] = ["train"] * 250 + ["val"] * 50 + ["test"] * 2
    made = of_csv(frame, tmp_path, split="where")
    assert found(made) == {"copies", "constant"}  # the note
    one = finding(made, "copies")
    assert one.what == "2 of 2 test rows are also training rows"
    assert one.examples == ["line 602 = line 12", "line 604 = line 36"]  # a record of two lines each, below the header
    assert in_short(*made)[0].startswith(
        "copies: 2 of 2 test rows are also training rows: line 602 = line 12 and 1 more"
    )


def test_rows_of_a_test_file_that_are_in_training(random, tmp_path):
    frame = measured(random, 200, classes=2)
    other = pd.concat([measured(random, 50, classes=2), frame.iloc[:30]])
    other.to_csv(tmp_path / "other.csv", index=False)
    one = finding(of_csv(frame, tmp_path, test_path=str(tmp_path / "other.csv"), val_fraction=0), "copies")
    assert one.what == "30 of 80 test rows are also training rows"
    assert one.examples[0] == "line 52 of other.csv = line 2"


def test_rows_that_were_drawn_twice_before_they_were_divided(random):
    frame = measured(random, 500)
    made = from_frame(pd.concat([frame, frame.sample(100, random_state=0)], ignore_index=True), "y")
    kinds = [one.what for one in check(Pool(*made))]
    assert [what.split(" ", 3)[3] for what in kinds] == [
        "test rows are also training rows",
        "validation rows are also training rows",
        "test rows are also validation rows",
        "training rows repeat another",
    ][: len(kinds)]
    rows = [torch.cat([part.inputs, part.targets], 1).tolist() for part in (made[0].train, made[0].test)]
    both = sum(row in rows[0] for row in rows[1])
    assert kinds[0].startswith(f"{both} of {len(rows[1])} ")
    assert both > 10


def test_copies_have_ids_of_their_own(random, tmp_path):
    frame = measured(random, 200)
    frame = pd.concat([frame, frame.iloc[:60]]).assign(x=range(260))
    assert found(of_csv(frame, tmp_path)) == {"copies", "numbering"}


def test_one_row_of_measurements_twice_is_no_chance(random):
    frame = measured(random, 100, num_noise=3)
    assert found(from_frame(pd.concat([frame, frame.iloc[[3]]], ignore_index=True), "y")) == {"copies"}


def test_copies_of_rows_of_categories_cannot_be_told_from_others(random):
    frame = categories(random, 300)
    assert found(from_frame(pd.concat([frame, frame.iloc[:20]], ignore_index=True), "y")) == set()


def test_equal_inputs_with_different_labels(random, tmp_path):
    frame = measured(random, 300, classes=2)
    wrong = frame.iloc[[10, 20]].assign(y=1 - frame.y.iloc[[10, 20]])
    made = of_csv(pd.concat([frame, wrong]), tmp_path)
    one = finding(made, "conflict")
    assert found(made) == {"conflict"}
    assert one.what == "2 rows have more than one label"
    assert {*one.examples} & {"line 12 = line 302 (0, 1)", "line 302 = line 12 (0, 1)"}


def test_texts_in_two_splits_and_with_two_labels(random, tmp_path):
    frame = sentences(random, 300)
    other = frame.iloc[[0, 1, 2]].assign(label=[frame.label[0], frame.label[1], 9])
    pd.concat([sentences(random, 20), other]).replace({"label": {9: 0}}).to_csv(tmp_path / "t.csv", index=False)
    frame.loc[2, "label"] = 1
    made = of_texts(frame, tmp_path, test_path=str(tmp_path / "t.csv"), val_fraction=0)
    assert found(made) == {"copies", "conflict"}
    assert finding(made, "copies").what == "3 of 23 test texts are also training texts"
    assert finding(made, "conflict").examples in (
        ["line 24 of t.csv = line 4 (0, 1)"],
        ["line 4 = line 24 of t.csv (1, 0)"],
    )


def test_texts_that_differ_in_unknown_words_only_are_not_equal(random, tmp_path):
    frame = sentences(random, 200, num_words=40)
    frame.loc[:5, "text"] = [f"only {word} here" for word in ("one", "two", "three", "four", "five", "six")]
    assert found(of_texts(frame, tmp_path)) == set()


def test_images_in_two_splits_and_with_two_labels(random):
    images, labels = patterns(random, 200, noise=0.3)
    images[150:154], labels[150:153] = images[:4], labels[:3]
    labels[153] = (labels[3] + 1) % 3
    made = of_images(images, labels)
    assert found(made) == {"copies", "conflict"}
    rows = [{*part.rows.tolist()} for part in (made[0].train, made[0].test)]
    both = [n for n in range(4) if (n in rows[0]) != (n + 150 in rows[0]) and (n in rows[1]) != (n + 150 in rows[1])]
    told = [one for one in check(Pool(*made)) if one.what.endswith("test images are also training images")]
    assert [one.count for one in told] == [len(both)] * bool(both)
    assert finding(made, "conflict").examples[0][:7] == "row 3 ="


def test_image_files_that_are_copied_are_named(random, tmp_path):
    for part, size in (("train", 20), ("test", 10)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(size):
                pixels = random.integers(0, 256, (12, 12), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    (tmp_path / "test/dog/3.png").write_bytes((tmp_path / "train/dog/7.png").read_bytes())
    made = image_folder(path=str(tmp_path), workers=0, val_fraction=0.0)
    one = finding(made, "copies")
    assert found(made) == {"copies"}
    assert one.examples == [f"{tmp_path}/test/dog/3.png = {tmp_path}/train/dog/7.png"]
    assert in_short(*made)[0].startswith("copies: 1 of 20 test images are also training images")


def test_an_image_that_was_saved_again_in_fewer_shades_is_found(random):
    images, labels = patterns(random, 200, noise=0.3)
    made = of_images(images, labels)
    train, test = made[0].train.inputs, made[0].test.inputs
    test[5] = train[9] // 8 * 8 + 4
    one = finding(made, "lookalikes")
    assert one.count == 1
    assert one.examples == [f"row {made[0].test.rows[5]} = row {made[0].train.rows[9]}"]


@pytest.mark.parametrize("name", ["number", "x"])
def test_a_running_number_is_found_under_any_name(name, random, tmp_path):
    frame = measured(random, 100).assign(**{name: random.permutation(100) + 1000})
    one = finding(of_csv(frame, tmp_path, features=[*frame.columns[:-2], name]), "numbering")
    assert one.columns == [name]
    assert one.cure == f"data.drop=[{name}] leaves it out"


def test_an_id_with_gaps_in_a_file_that_is_sorted_by_its_target(random):
    frame = measured(random, 400, classes=4).sort_values("y", ignore_index=True)
    frame["x"] = np.cumsum(random.integers(1, 9, 400))
    assert found(from_frame(frame, "y")) == {"numbering", "predictor"}
    assert found(from_frame(frame.assign(x=frame.x + random.random(400)), "y")) == {"predictor"}  # such as seconds


@pytest.mark.parametrize("classes", [0, 2, 3, 10])
@pytest.mark.parametrize("leak", ["itself", "curved", "noisy"])
def test_a_feature_that_alone_predicts_the_target(leak, classes, random):
    frame = measured(random, 600, classes=classes)
    noise = random.normal(size=600)
    frame["leak"] = {
        "itself": frame.y,
        "curved": np.exp(frame.y / 3) + 5,
        "noisy": frame.y + (0.03 * frame.y.std() if not classes else 0.15) * noise,
    }[leak]
    made = from_frame(frame, "y")
    assert found(made) == {"predictor"}
    assert finding(made, "predictor").columns == ["leak"]


def test_words_that_alone_predict_the_target(random):
    frame = measured(random, 300, classes=2)
    frame["leak"] = [random.choice([f"yes {n}", f"no {n}"]) for n in random.integers(0, 5, 300)]
    frame["y"] = frame.leak.str.startswith("yes").astype(int)
    assert found(from_frame(frame, "y")) == {"predictor"}


def test_a_gap_that_alone_predicts_the_target(random):
    frame = measured(random, 300, classes=2)
    frame["ended"] = np.where(frame.y == 1, random.normal(size=300), np.nan)
    assert found(from_frame(frame, "y")) == {"predictor"}


def test_a_feature_that_is_right_in_nine_of_ten_rows_is_none(random):
    frame = measured(random, 600, classes=2)
    frame["strong"] = np.where(random.random(600) < 0.9, frame.y, 1 - frame.y)
    assert found(from_frame(frame, "y")) == set()


def test_constant_columns_and_classes_without_examples(random):
    frame = measured(random, 200, classes=3).assign(same=7.5, word="x")
    frame.loc[[0, 1], "y"] = 3
    made = from_frame(frame, "y")
    assert found(made) == {"constant", "rare class"}
    assert [finding(made, "constant", part).columns for part in (0, 1)] == [["same"], ["word"]]
    one = finding(made, "rare class")
    assert one.examples[0].startswith("3 (training ")
    assert in_short(*made) == []  # the notes of the data say that


@pytest.mark.parametrize("name", ["patient", "nr", "who"])
def test_rows_of_a_patient_in_several_splits(name, random, tmp_path):
    frame = patients(random, name=name)
    made = of_csv(frame, tmp_path)
    one = finding(made, "group")
    assert one.columns == [name]
    assert one.cure == f"data.group={name} keeps them together"
    shares = [{*frame[name].iloc[part.rows.numpy()]} for part in (made[0].train, made[0].val, made[0].test)]
    assert one.count == len((shares[0] & shares[1]) | (shares[0] & shares[2]) | (shares[1] & shares[2]))
    assert "group" not in found(of_csv(frame, tmp_path, group=name))
    assert found(of_csv(frame, tmp_path, drop=[name])) == {"group"}  # left out, it still tells


def test_patients_with_words_as_ids_that_are_left_out(random, tmp_path):
    frame = patients(random, num=150).assign(who=lambda rows: [f"P{n:04}" for n in rows.who])
    made = of_csv(frame, tmp_path)
    assert "who" not in made[1].feature_names
    assert found(made) == {"group"}


def test_ids_in_time_are_no_groups(random, tmp_path):
    frame = patients(random).assign(day=lambda rows: np.arange(len(rows)))
    assert "group" not in found(of_csv(frame, tmp_path, time="day"))


def test_authors_of_texts(random, tmp_path):
    frame = sentences(random, 600)
    frame["author"] = [f"author {n}" for n in np.arange(600) // 5]
    frame["label"] = np.repeat(random.integers(0, 3, 120), 5)
    made = of_texts(frame, tmp_path)
    assert found(made) == {"group"}
    assert finding(made, "group").cure == "data.group=author keeps them together"
    assert found(of_texts(frame, tmp_path, group="author")) == set()


def test_measurements_of_whole_numbers_are_no_groups(random):
    age = random.integers(20, 80, 400)
    frame = pd.DataFrame({"age": age, "weight": age + random.normal(size=400), "height": 2 * age, "y": age**2})
    assert "group" not in found(from_frame(frame, "y"))


def test_splits_in_time_differ(random, tmp_path):
    day = random.permutation(800)
    frame = measured(random, 800).assign(day=day, level=day / 400 + random.normal(size=800))
    frame["kind"] = np.where(random.random(800) < day / 800, "new", "old")
    made = of_csv(frame, tmp_path, time="day")
    assert found(made) == {"shift"}
    assert [finding(made, "shift", part).columns for part in (0, 1)] == [["level"], ["kind"]]


def test_rows_of_one_group_count_once_for_a_shift(tmp_path):
    for seed in range(3):
        random = np.random.default_rng(seed)
        frame = patients(random, num=60, visits=12, name="nr")
        assert found(of_csv(frame, tmp_path, group="nr")) == set()


def test_test_images_that_are_darker(random):
    images, labels = patterns(random, 600, noise=0.3)
    made = of_images(images, labels)
    made[0].test.inputs.copy_(made[0].test.inputs // 2)
    assert found(made) == {"shift"}


def test_other_classes_in_a_test_folder(random):
    images, labels = patterns(random, 600, noise=0.3)
    splits, spec = of_images(images, labels)
    splits = Splits(splits.train, splits.val, splits.test.at(splits.test.targets < 2))
    assert {"shift", "rare class"} == found((splits, spec))


def test_splits_of_ones_own_without_rows_or_a_source(random):
    inputs = torch.from_numpy(random.normal(size=(300, 4)).astype(np.float32))
    parts = [Examples(some, some[:, :1].clone()) for some in inputs.split(100)]
    parts[2].inputs[7] = parts[0].inputs[3]
    parts[2].targets[7] = parts[0].targets[3]
    made = Splits(*parts), DataSpec("regression", (4,))
    assert found(made) == {"copies", "predictor"}
    assert finding(made, "copies").examples == ["row 7 = row 3"]
    assert found(linear()) == set()
    assert found(line()) == set()


def test_the_finding_as_json_says_all(random, tmp_path):
    plain = finding(of_csv(patients(random, name="nr"), tmp_path), "group").plain()
    assert plain["kind"] == "group"
    assert plain["columns"] == ["nr"]
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.slow
def test_fashion_mnist_has_ten_training_images_in_its_test_set(real_data):
    """Its files had ten equal ones until they were made anew (issue 44 there); ten that look alike are left."""
    made = fashion_mnist(root=str(real_data))
    one = finding(made, "lookalikes")
    assert one.count == 10
    assert one.examples[6] == "test image 4998 = train image 13360"
    images, others = made[0].test.inputs.flatten(1).float(), made[0].train.inputs.flatten(1).float()
    nearest = torch.stack([(others - images[n]).square().sum(1).min() for n in (4998, 2605, 6210, 9867)])
    assert nearest.tolist() == pytest.approx([433, 5961, 14036, 4320], abs=1e4)
