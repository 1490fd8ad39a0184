"""What is validated is what predicts: predictions for the rows of the test split have exactly the run's test metric."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score

QUICK = ("plots=off", "tensorboard=off", "epochs=2")


def table(folder):
    """Write people.csv, whose column `part` says the split, and test.csv with its test rows; return these."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 80, 300).astype(float), "city": rng.choice([*"ABC"], 300)})
    frame["income"] = (rng.lognormal(3, 1, 300) + frame.age).round(3)
    frame["ill"] = np.where(frame.age + 20 * (frame.city == "A") + rng.normal(0, 25, 300) > 60, "yes", "no")
    frame.loc[rng.choice(300, 30, replace=False), "age"] = np.nan
    frame["part"] = rng.choice(["train", "val", "test"], 300, p=[0.6, 0.2, 0.2])
    frame.to_csv(folder / "people.csv", index=False)
    tested = frame[frame.part == "test"]
    tested.to_csv(folder / "test.csv", index=False)
    return tested


@pytest.mark.parametrize(
    "line",
    [
        ("target=ill", "model=mlp"),
        ("target=ill", "model=linear", "ema=0.9", "precision=fp64"),
        ("target=ill", "model=mlp", "calibrate=temperature", "threshold=auto"),
        ("target=ill", "model=mlp", "threshold=auto", "miss_cost=9", "optim.lr=0.01"),
        ("target=ill", "model=mlp", "threshold=0.2", "precision=bf16"),
        ("target=city", "model=mlp", "calibrate=temperature"),
        ("target=income", "model=linear"),
        ("target=income", "model=mlp", "data.missing=mean"),
    ],
    ids=" ".join,
)
def test_of_a_table(dltrain, tmp_path, line):
    tested = table(tmp_path)
    outcome = dltrain("people.csv", *line, "data.split=part", *QUICK)
    assert outcome.code == 0, outcome.err
    assert dltrain("predict", "last", "test.csv", "output=found.csv").code == 0
    found, test = pd.read_csv(tmp_path / "found.csv"), outcome.summary["test"]
    target = line[0].removeprefix("target=")
    if target == "income":
        assert r2_score(tested.income, found.prediction) == pytest.approx(test["r2"], abs=1e-5)
        return
    assert accuracy_score(tested[target], found.prediction) == pytest.approx(test["accuracy"], abs=1e-12)
    if target == "ill":
        assert f1_score(tested.ill, found.prediction, pos_label="yes") == pytest.approx(test["f1"], abs=1e-12)
        threshold = outcome.summary["threshold"]
        assert ((found["probability yes"] > threshold) == (found.prediction == "yes")).all()
        assert ("threshold=0.2" in line) == (threshold == 0.2)
    names = [name.removeprefix("probability ") for name in found.columns if name.startswith("probability ")]
    chances = found[[f"probability {name}" for name in names]].to_numpy()
    loss = log_loss(tested[target], chances / chances.sum(1, keepdims=True), labels=names)
    assert loss == pytest.approx(test["loss"], abs=1e-2 if "precision=bf16" in line else 1e-5)
    assert dltrain("eval", "last").out.rstrip().endswith("PASS  equal to the run's")
    if "calibrate=temperature" in line:
        assert dltrain("export", "last", "format=onnx", "output=model.onnx").code == 0  # which compares the outputs
        about = json.loads((tmp_path / "model.onnx.json").read_text())
        assert about.get("threshold") == outcome.summary.get("threshold")


def test_of_texts(dltrain, tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice([*("abcd" if number % 2 else "cdef")], 6)) for number in range(200)]
    frame = pd.DataFrame({"text": words, "label": [f"kind{number % 2}" for number in range(200)]})
    frame["part"] = np.where(np.arange(200) % 5 < 1, "test", "train")
    frame.to_csv(tmp_path / "words.csv", index=False)
    frame[frame.part == "test"].to_csv(tmp_path / "test.csv", index=False)
    line = ("data=text", "data.path=words.csv", "data.text=text", "data.label=label", "data.split=part", "model=gru")
    outcome = dltrain(*line, "model.hidden=8", "threshold=auto", *QUICK)
    assert outcome.code == 0, outcome.err
    assert dltrain("predict", "last", "test.csv", "output=found.csv").code == 0
    found = pd.read_csv(tmp_path / "found.csv")
    assert accuracy_score(found.label, found.prediction) == pytest.approx(
        outcome.summary["test"]["accuracy"], abs=1e-12
    )


def test_of_images(dltrain, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(80):
        folder = tmp_path / "photos" / ("test" if number < 20 else "train") / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8) + (0 if number % 2 else 25)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    line = ("data=image_folder", "data.path=photos", "data.workers=0", "model=linear", "calibrate=temperature")
    outcome = dltrain(*line, *QUICK)
    assert outcome.code == 0, outcome.err
    assert dltrain("predict", "last", "photos/test", "output=found.csv").code == 0
    found = pd.read_csv(tmp_path / "found.csv")
    right = [str(path).split("/")[-2] == said for path, said in zip(found.input, found.prediction, strict=True)]
    assert np.mean(right) == pytest.approx(outcome.summary["test"]["accuracy"], abs=1e-12)


def test_of_folds_with_thresholds_of_their_own(dltrain, tmp_path):
    table(tmp_path)
    line = ("people.csv", "target=ill", "model=linear", "data.drop=[part]", "folds=3", "threshold=auto")
    assert dltrain(*line, "calibrate=temperature", *QUICK).code == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    found = pd.read_csv(folder / "predictions.csv")
    thresholds = {json.loads((folder / f"{job}/summary.json").read_text())["threshold"] for job in range(3)}
    assert len(thresholds) > 1
    [record] = json.loads((folder / "out_of_fold.json").read_text())["configurations"]
    assert record["metrics"]["accuracy"] == pytest.approx(accuracy_score(found.truth, found.prediction), abs=1e-12)
    assert record["metrics"]["f1"] == pytest.approx(f1_score(found.truth, found.prediction, pos_label="yes"), abs=1e-12)
    assert dltrain("eval", f"run={folder}").out.rstrip().endswith("PASS  equal to the run's")
    assert dltrain("predict", f"run={folder}", "test.csv", "output=found.csv").code == 0
    said = pd.read_csv(tmp_path / "found.csv")
    assert ((said["probability yes"] > np.mean([*thresholds])) == (said.prediction == "yes")).all()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["data=diabetes", "calibrate=temperature"], "a regression has no probabilities"),
        (["data=iris", "threshold=auto"], "only for two classes, not multiclass"),
        (["data=breast_cancer", "threshold=best"], "expected a number above 0 and below 1, or auto"),
        (["data=breast_cancer", "threshold=1"], "threshold=1: expected a number above 0 and below 1"),
        (["data=breast_cancer", "calibrate=platt"], "expected one of temperature, off"),
    ],
)
def test_what_cannot_be_is_one_line(dltrain, line, said):
    outcome = dltrain(*line)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert said in outcome.err
