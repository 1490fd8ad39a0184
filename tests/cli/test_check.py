"""`dltrain check`, and what a run says of its data."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from trainer.runs.index import is_later_job
from trainer.runs.ledger import FILE


@pytest.fixture
def leaky(tmp_path):
    """Write a table in which each of 60 patients has four rows, and a clean one."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"nr": np.arange(60).repeat(4), "pulse": random.normal(size=240)})
    frame["sick"] = random.integers(0, 2, 60).repeat(4)
    frame.to_csv(tmp_path / "visits.csv", index=False)
    frame.drop(columns="nr").to_csv(tmp_path / "clean.csv", index=False)
    return tmp_path


def test_findings_are_printed_and_are_the_exit_code(dltrain, leaky):
    done = dltrain("check", "visits.csv", "target=sick")
    assert done.code == 3
    assert done.out.splitlines()[0].startswith("data   visits.csv: binary, ")
    line = done.out.splitlines()[-1]
    assert line.startswith("group  nr has 60 values, 4.0 rows each, which are alike in sick; ")
    assert line.endswith("data.group=nr keeps them together")
    assert done.err == "dltrain: error[3]: 1 finding in visits.csv\n"
    assert not (leaky / "outputs").exists()  # there is nothing to draw


def test_nothing_is_found_in_a_clean_table_or_once_rows_are_grouped(dltrain, leaky):
    for words in (("clean.csv",), ("visits.csv", "data.group=nr")):
        done = dltrain("check", *words, "target=sick")
        assert done.code == 0
        assert done.out.splitlines()[-1] == "nothing found"


def test_json_is_all_that_is_printed(dltrain, leaky):
    for words, code, kinds in ((["visits.csv"], 3, ["group"]), (["clean.csv"], 0, [])):
        done = dltrain("check", *words, "target=sick", "--json")
        content = json.loads(done.out)
        assert done.code == code
        assert sum(content["examples"].values()) == 240
        assert [one["kind"] for one in content["findings"]] == kinds
        assert all({"message", "count", "examples", "columns", "cure"} < {*one} for one in content["findings"])


def test_images_that_are_found_are_drawn(dltrain, tmp_path):
    random = np.random.default_rng(0)
    for part, size in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(size):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{number}.png")
    pets = tmp_path / "pets"
    (pets / "test/cat/1.png").write_bytes((pets / "train/cat/5.png").read_bytes())
    done = dltrain("check", "pets", "data.workers=0")
    assert done.code == 3
    assert "1 of 8 test images are also training images: pets/test/cat/1.png = pets/train/cat/5.png" in done.out
    [picture] = tmp_path.glob("outputs/*/*-check-pets/copies.png")
    with Image.open(picture) as drawn:
        assert drawn.width > 200


def test_shifted_columns_are_drawn(dltrain, tmp_path):
    random = np.random.default_rng(0)
    day = np.arange(500)
    level, kind = day / 100 + random.normal(size=500), np.where(random.random(500) < day / 500, "new", "old")
    pd.DataFrame({"day": day, "level": level, "kind": kind, "y": random.normal(size=500)}).to_csv("t.csv", index=False)
    done = dltrain("check", "t.csv", "target=y", "data.time=day")
    assert [line.split()[:2] for line in done.out.splitlines()[-3:-1]] == [["shift", "level:"], ["shift", "kind:"]]
    assert len([*tmp_path.glob("outputs/*/*-check-t.csv/shifts.png")]) == 1


def test_a_run_says_in_short_what_is_found(dltrain, leaky):
    run = ("model=linear", "epochs=1")
    done = dltrain("visits.csv", "target=sick", *run)
    assert "       group: nr has 60 values" in done.out
    assert "       dltrain check with these settings says more" in done.out
    assert "dltrain check" not in dltrain("clean.csv", "target=sick", *run).out


def test_of_a_sweep_only_the_first_job_looks(tmp_path):
    (tmp_path / FILE).touch()
    assert [is_later_job(tmp_path / name) for name in ("0", "1", ".preflight-0")] == [False, True, True]
    assert not is_later_job(tmp_path / "0" / "7")


def test_what_is_no_data_is_refused_like_in_training(dltrain, leaky):
    assert dltrain("check", "nowhere.csv", "target=sick").err.startswith("dltrain: error[3]: nowhere.csv: no such file")
    assert "which column should be predicted?" in dltrain("check", "visits.csv").err
    assert dltrain("check", "model=nothing").code == 2
