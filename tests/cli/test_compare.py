import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.config.keys import flat
from trainer.runs.diff import differing
from trainer.runs.index import find, look
from trainer.view.comparison import ASCII, sparkline
from trainer.view.sweep import picture


@pytest.fixture
def two(dltrain):
    """Two runs that differ in one key."""
    first = dltrain("model=linear", "epochs=3", "optim.lr=0.001")
    second = dltrain("model=linear", "epochs=3", "optim.lr=0.01")
    return first, second


def cells(text, title):
    (line,) = [line for line in text.splitlines() if line.startswith(title)]
    return line.removeprefix(title).split()


def test_only_differences_are_shown_and_the_better_run_is_marked(dltrain, two):
    first, second = two
    outcome = dltrain("compare", str(first.folder), "last", "output=pictures of runs")
    assert outcome.code == 0, outcome.err
    assert cells(outcome.out, "optim.lr") == ["0.001", "0.01"]
    assert "seed" not in outcome.out
    assert "differ too" not in outcome.out
    was, now = first.summary["test"]["loss"], second.summary["test"]["loss"]
    assert now < was
    assert cells(outcome.out, "test loss") == [f"{was:.4f}", f"{now:.4f}", f"({now - was:+.4g})", "*"]
    assert len(cells(outcome.out, "accuracy by epoch")[0]) == 3
    picture = np.asarray(Image.open("pictures of runs/compare.png").convert("RGB"))
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # a line for each run
        assert (picture == colour).all(2).sum() > 200


def test_json_has_the_same_content(dltrain, two):
    found = json.loads(dltrain("compare", "last=2", "--json").out)
    assert found["differs"] == {"optim.lr": [0.001, 0.01]}
    assert [run["test"] for run in found["runs"]] == [outcome.summary["test"] for outcome in two]
    assert [len(run["curve"]) for run in found["runs"]] == [3, 3]


def test_differing_packages_and_data_are_listed_unless_the_config_explains_them(dltrain, two):
    path = two[0].folder / "environment.json"
    environment = json.loads(path.read_text())
    environment["packages"]["torch"] = "0.4.1"
    environment["data"]["train"] = "0123456789abcdef"
    path.write_text(json.dumps(environment))
    compared = dltrain("compare", "last=2", "output=x.png").out
    assert "packages.torch: 0.4.1 (A), " in compared
    assert "data.train: 0123456789abcdef (A), " in compared
    dltrain("model=linear", "epochs=1", "seed=1")
    assert "data.train" not in dltrain("compare", "last=2", "output=x.png").out


def test_a_sweep_is_drawn_at_its_end_and_compared_by_its_folder(dltrain, tmp_path):
    outcome = dltrain("-m", "model=linear,mlp", "optim.lr=0.001,0.01,0.1", "epochs=1", "plots=auto", "baselines=auto")
    (folder,) = {file.parent for file in tmp_path.glob("outputs/sweeps/*/*/sweep.jsonl")}
    for name in ("leaderboard.png", "compare.png"):
        assert (folder / name).is_file()
        assert f"picture      {folder.relative_to(tmp_path) / name}" in outcome.out
    # However the sweep is named, the table is the same.
    table = outcome.out[outcome.out.index("    rank") : outcome.out.index("leaderboard  ")]
    for name in ("sweep=last", str(folder)):
        assert table in dltrain("compare", name, "output=x.png").out
    assert not list(tmp_path.glob("*.csv"))
    found = json.loads(dltrain("compare", str(folder), "--json").out)
    assert found["keys"] == ["model", "optim.lr"]
    # run=best is the first row.
    assert dltrain("eval", "run=best").code == 0
    assert find("best").resolve() == Path(found["groups"][0]["best"]).resolve()
    # Next to another run, its jobs are compared like any runs.
    dltrain("model=linear", "epochs=1", "baselines=auto")
    rows = dltrain("compare", str(folder), "last", "output=x.png").out.splitlines()
    assert rows[0].split()[:2] == ["model", "optim.lr"]  # model.hidden differs only with the model
    assert [row.split()[:3] for row in rows[1:4]] == [
        ["A", "linear", "0.001"],
        ["B", "linear", "0.01"],
        ["C", "linear", "0.1"],
    ]


def test_a_failed_picture_does_not_fail_the_sweep(dltrain, monkeypatch):
    monkeypatch.setattr(picture, "draw_sweep", lambda sweep, place: 1 / 0)
    outcome = dltrain("-m", "model=linear", "seed=1,2", "epochs=1", "plots=auto")
    assert outcome.code == 0
    assert "warning: could not draw the sweep: division by zero" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no runs to compare; name two runs"),
        (["nowhere", "last"], 4, "there is no run at"),
        (["last=two"], 2, "expected a number of runs"),
        (["sweep=last"], 4, "there is no sweep"),
        (["swep=last"], 2, "did you mean sweep"),
    ],
)
def test_an_invalid_comparison_gets_one_line(dltrain, arguments, code, message):
    outcome = dltrain("compare", *arguments)
    assert outcome.code == code
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_keys_differ_by_value_and_by_kind():
    contents = [{"a.x": 1, "b": True, "c": float("nan")}, {"a.x": 1.0, "b": True, "c": float("nan"), "a.y": []}]
    assert differing(contents) == ["a.x", "a.y"]
    assert flat({"a": {"x": 1, "y": [1, {"z": 2}]}, "b": None}) == {"a.x": 1, "a.y": [1, {"z": 2}], "b": None}


def test_a_sparkline_goes_from_the_lowest_to_the_highest_level():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 0, 7) == "▁▂▃▄▅▆▇█"
    assert sparkline([7, 0, float("nan")], 0, 7, levels=ASCII) == "#_?"
    assert sparkline([3, 3], 3, 3) == "▁▁"
    assert sparkline([], 0, 1) == ""
    long = sparkline(list(range(1000)), 0, 999)
    assert len(long) == 24
    assert long == "".join(sorted(long, key="▁▂▃▄▅▆▇█".index))


def test_the_incomplete_last_row_of_a_killed_run_is_ignored(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,val/loss\n1,10,0.5\n2,20,")
    (tmp_path / ".lock").touch()
    assert look(tmp_path).history == [{"epoch": 1, "step": 10, "val/loss": 0.5}]


@pytest.mark.slow
def test_batch_sizes_differ_as_their_recipe_says(dltrain, real_data, tmp_path):
    sweep = ("-m", "experiment=batch_sizes", "data.batch_size=full,32,1")
    assert dltrain(*sweep, f"data.root={real_data}").code == 0
    jobs = {size: tmp_path.glob(f"outputs/sweeps/*/*/{number}") for number, size in enumerate(["full", "32", "1"])}
    full, some, one = (look(next(folders)).history for folders in jobs.values())
    assert some[-1]["val/accuracy"] > max(full[-1]["val/accuracy"], one[-1]["val/accuracy"])
    assert full[-1]["val/loss"] < one[0]["val/loss"]  # after 80 updates, and after 100
    assert some[0]["val/accuracy"] > full[0]["val/accuracy"]  # after less time
    assert some[0]["seconds"] < full[0]["seconds"]
