"""`dltrain importance` explains tables, images and texts."""

import csv

import pytest
from matplotlib.image import imread
from PIL import Image


def newest(tmp_path):
    [folder] = tmp_path.glob("outputs/*/*-importance-*")
    with Image.open(folder / "importance.png") as picture:
        assert 300 < picture.width < 2000
        assert 100 < picture.height < 2000
    return folder


def test_the_column_that_decides_comes_first(dltrain, tmp_path):
    rows = [f"{n % 7},{['low', 'high', ''][n % 3]},{n % 5 or ''},{'yes' if n % 7 > 3 else 'no'}" for n in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,noise,target", *rows]))
    command = ["data=csv", "data.path=t.csv", "data.target=target", "model=mlp", "epochs=5", "hydra.run.dir=run"]
    assert dltrain(*command, "plots=[importance]").code == 0
    assert imread("run/plots/importance.png").shape[1] > 300
    outcome = dltrain("importance", "run=run")
    assert outcome.code == 0, outcome.err
    assert "data   test: 60 examples, accuracy 1.0000" in outcome.out
    with (newest(tmp_path) / "importance.csv").open(newline="") as file:
        found = [*csv.DictReader(file)]
    assert found[0]["column"] == "size"
    assert {row["column"] for row in found} == {"size", "kind", "noise"}
    assert float(found[0]["drop"]) > 0.3 > max(abs(float(row["drop"])) for row in found[1:])
    assert [float(row["low"]) <= float(row["drop"]) <= float(row["high"]) for row in found] == [True] * 3
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["size", *(f"{float(found[0][name]):.4f}" for name in ("drop", "low", "high"))] in lines
    given = dltrain("importance", "run=run", "input=x.csv")
    assert given.code == 2
    assert "input= is for images and texts" in given.err


def test_images_of_the_test_split_and_of_files_are_explained(dltrain, tmp_path):
    dltrain("model=mlp", "epochs=1", "hydra.run.dir=run")
    outcome = dltrain("importance", "run=run")
    assert outcome.code == 0, outcome.err
    with open("run/errors.csv", newline="") as file:
        worst = [f"row {int(row['row']):,}" for row in csv.DictReader(file)][:4]
    lines = [line for line in outcome.out.splitlines() if line.startswith("row")]
    assert len(lines) == 8
    assert [line[: len(name)] for line, name in zip(lines, worst, strict=False)] == worst
    assert "log-odds of the predicted class" in outcome.out
    newest(tmp_path).rename("old")
    drawn = Image.new("L", (20, 20), 0)
    drawn.paste(255, (8, 2, 12, 18))
    drawn.save("stroke.png")
    outcome = dltrain("importance", "run=run", "input=stroke.png")
    assert outcome.code == 0, outcome.err
    assert "stroke.png" in outcome.out
    newest(tmp_path)


def test_each_character_of_a_text_has_an_attribution(dltrain, tmp_path):
    rows = [f"{'ab'[n % 2] * 2}{'xyz'[n % 3]}{'uvw'[n % 5 % 3]},{'first' if n % 2 else 'second'}" for n in range(200)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    dltrain("data=text", "data.path=texts.csv", "model=gru", "model.hidden=16", "epochs=8", "hydra.run.dir=run")
    outcome = dltrain("importance", "run=run", "input=bbxu,aazq")
    assert outcome.code == 0, outcome.err
    with (newest(tmp_path) / "importance.csv").open(newline="") as file:
        found = [*csv.DictReader(file)]
    assert [row["token"] for row in found] == [*"bbxu", *"aaz�"]
    assert [row["input"] for row in found] == ["bbxu"] * 4 + ["aazq"] * 4
    [line] = [line.split() for line in outcome.out.splitlines() if line.startswith("bbxu")]
    says, blank = map(float, line[4:6])
    assert sum(float(row["attribution"]) for row in found[:4]) == pytest.approx(says - blank, rel=0.02)
