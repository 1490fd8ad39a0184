"""Cross-validation: folds as one sweep, the predictions of each, and the mean of their models."""

import csv
import json
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from trainer.runs.folds import folds_of
from trainer.trained.model import load, load_one

QUICK = ("plots=off", "tensorboard=off")


def people(path, count=240):
    """Write a table with missing numbers, a rare category and a missing one, and return it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 80, count).astype(float), "city": rng.choice(["A", "B", "C"], count)})
    frame["income"] = rng.lognormal(3, 1, count).round(3)
    frame["ill"] = np.where(frame.age + 20 * (frame.city == "A") + rng.normal(0, 10, count) > 55, "yes", "no")
    frame.loc[rng.choice(count, 30, replace=False), "age"] = np.nan
    frame.loc[rng.choice(count, 9, replace=False), "city"] = None
    frame.loc[0, "city"] = "Z"  # in the training rows of all folds but one
    frame.to_csv(path, index=False)
    return frame


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Cross-validate a table in three folds, twice, and return its folder, the outputs and the table."""
    from contextlib import chdir, redirect_stdout
    from io import StringIO

    from trainer import cli

    place = tmp_path_factory.mktemp("folds")
    frame, said = people(place / "people.csv"), StringIO()
    with chdir(place), redirect_stdout(said):
        line = ["people.csv", "target=ill", "model=linear", "folds=3", "repeats=2", "epochs=2", "split_seed=1", *QUICK]
        assert cli.run(line) == 0
    (folder,) = place.glob("outputs/sweeps/*/*")
    return folder, said.getvalue(), frame


def test_every_row_is_predicted_once_a_repeat_and_the_metrics_are_those_of_scikit_learn(folds):
    folder, said, frame = folds
    found = pd.read_csv(folder / "predictions.csv")
    assert [*found.columns] == ["row", "repeat", "fold", "truth", "prediction", "probability no", "probability yes"]
    assert found.groupby("repeat").row.apply(sorted).tolist() == [[*range(240)]] * 2
    assert (found.truth == frame.ill.iloc[found.row].to_numpy()).all()
    firsts = found[found.repeat == 1].set_index("row").fold
    seconds = found[found.repeat == 2].set_index("row").fold.loc[firsts.index]
    assert 0.2 < (firsts == seconds).mean() < 0.5  # by chance: a third
    record = json.loads((folder / "out_of_fold.json").read_text())["configurations"]
    repeats = [part for _, part in found.groupby("repeat")]
    expected = {
        "accuracy": [accuracy_score(part.truth, part.prediction) for part in repeats],
        "f1": [f1_score(part.truth, part.prediction, pos_label="yes") for part in repeats],
        "auc": [roc_auc_score(part.truth == "yes", part["probability yes"]) for part in repeats],
    }
    (only,) = record
    for name, values in expected.items():
        assert only["metrics"][name] == pytest.approx(np.mean(values), abs=1e-4), name
    assert "over 6 folds" in said
    assert "each by the fold that was not trained on it" in said
    (row,) = csv.DictReader((folder / "leaderboard.csv").read_text().splitlines())
    summaries = [json.loads((folder / str(job) / "summary.json").read_text()) for job in range(6)]
    assert float(row["test_mean"]) == pytest.approx(np.mean([summary["test"]["accuracy"] for summary in summaries]))
    assert row["folds"] == "6"


def test_the_mean_of_the_models_reads_what_each_reads(folds, tmp_path):
    folder, _, frame = folds
    strange = frame.copy()
    strange.loc[1:3, "city"] = "unknown"
    strange.loc[4:6, ["age", "income"]] = np.nan
    strange.to_csv(tmp_path / "new.csv", index=False)
    from trainer.trained.frames import predict

    members = [load_one(job.folder) for job in folds_of(str(folder)).jobs]
    assert len({member.spec.in_shape for member in members}) == 2  # a category that one fold does not know
    wanted = np.mean([predict(member, strange).iloc[:, 1:].to_numpy() for member in members], 0)
    mean = load(str(folder))
    assert predict(mean, strange).iloc[:, 1:].to_numpy() == pytest.approx(wanted, abs=1e-6)
    assert mean.notes[0] == "the mean of the models of 6 folds"


def test_the_mean_is_exported_as_one_file(folds, tmp_path, monkeypatch, capsys):
    from trainer import cli
    from trainer.trained.inputs import rows_like_training

    folder, _, frame = folds
    monkeypatch.chdir(tmp_path)
    assert cli.run(["export", f"run={folder}", "format=onnx", "output=mean.onnx"]) == 0
    mean = load(str(folder), "cpu")
    frame.to_csv("people.csv", index=False)
    _, rows, _ = rows_like_training("people.csv", mean.spec.encoder, mean.cfg.data)
    logits = onnxruntime.InferenceSession("mean.onnx").run(None, {"inputs": rows.numpy()})[0]
    expected = torch.cat([*mean.outputs(rows.split(100))])[:, 1].numpy()
    assert 1 / (1 + np.exp(-logits[:, 0])) == pytest.approx(expected, abs=1e-5)


def test_evaluation_tests_each_fold_again_and_new_data_by_the_mean(folds, monkeypatch, capsys):
    from trainer import cli

    folder, _, frame = folds
    monkeypatch.chdir(folder.parents[3])
    assert cli.run(["eval", f"run={folder}"]) == 0
    assert "PASS  equal to the run's" in capsys.readouterr().out
    assert cli.run(["eval", f"run={folder}", "data.path=people.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    from trainer.trained.frames import predict

    said = predict(load(str(folder)), frame)
    assert found["accuracy"] == pytest.approx(accuracy_score(frame.ill, said.prediction))
    assert found["auc"] == pytest.approx(roc_auc_score(frame.ill == "yes", said["probability yes"]), abs=1e-6)
    chance = np.where(frame.ill == "yes", said["probability yes"], said["probability no"])
    assert found["loss"] == pytest.approx(-np.log(chance).mean(), abs=1e-5)


@pytest.mark.parametrize("kind", ["images", "texts", "numbers"])
def test_means_of_other_kinds_of_data(dltrain, tmp_path, kind):
    rng = np.random.default_rng(0)
    if kind == "texts":
        rows = [f"{''.join(rng.choice([*'abcdefgh'], 9))},{'xy'[number % 2]}" for number in range(60)]
        (tmp_path / "words.csv").write_text("\n".join(["text,label", *rows, "qqqqqqqqqqqqqqq,x", "qzzz,y"]))
        line = ["data=text", "data.path=words.csv", "model=rnn", "model.hidden=8", "data.min_count=1"]
    else:
        line = ["data=digits", "model=linear", "limit_batches=3"] if kind == "images" else ["data=diabetes"]
        line += [] if kind == "images" else ["model=linear"]
    assert dltrain(*line, "folds=2", "epochs=1", *QUICK).code == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    members, mean = [load_one(job.folder) for job in folds_of(str(folder)).jobs], load(str(folder))
    if kind == "texts":
        stored = [member.spec.encoder.encode(["abcq", "zzzqqq", "hgfedcba"]) for member in (*members, mean)]
    elif kind == "images":
        stored = [torch.randint(0, 17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()] * 3
    else:
        frame = pd.DataFrame(rng.normal(size=(5, 10)), columns=members[0].spec.encoder.names)
        stored = [torch.from_numpy(member.spec.encoder.encode(frame, ValueError)) for member in (*members, mean)]
    one, two, both = (next(each.outputs([batch])) for each, batch in zip((*members, mean), stored, strict=True))
    assert not torch.allclose(one, two)
    assert both.numpy() == pytest.approx(((one + two) / 2).numpy(), rel=1e-5, abs=1e-6)


def test_a_linear_model_equals_that_of_scikit_learn_on_the_same_folds(dltrain, tmp_path):
    line = ["data=diabetes", "model=linear", "optim=lbfgs", "optim.max_iter=100", "scheduler=constant", "folds=3"]
    line += ["data.batch_size=full", "data.val_fraction=0", "precision=fp64", "epochs=20", *QUICK]
    assert dltrain(*line).code == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    found = pd.read_csv(folder / "predictions.csv").sort_values("row")
    made = load_diabetes()
    expected = cross_val_predict(LinearRegression(), made.data, made.target, cv=PredefinedSplit(found.fold))
    assert found.prediction.to_numpy() == pytest.approx(expected, rel=1e-5)  # inputs are stored in single precision
    record = json.loads((folder / "out_of_fold.json").read_text())["configurations"][0]["metrics"]
    assert record["r2"] == pytest.approx(r2_score(made.target, expected), abs=1e-6)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["folds=5", "fold=6"], "fold=6: folds=5 repeats=1 have 1 to 5"),
        (["fold=2"], "cross-validation needs folds="),
        (["repeats=3"], "cross-validation needs folds="),
        (["-m", "folds=3,5"], "folds and repeats apply to the whole sweep"),
        (["-m", "folds=3", "hydra/sweeper=optuna", "optim.lr=interval(0.1,1)"], "compares single runs"),
        (["folds=0"], "expected a whole number of at least 1"),
        (["data=line", "model=linear", "folds=3"], "does not divide into folds"),
        (["data=breast_cancer", "data.val_fraction=0.9", "folds=5"], "val_fraction=0.9 and folds=5 leave nothing"),
    ],
)
def test_folds_that_cannot_be_are_one_line(dltrain, line, said):
    outcome = dltrain(*line)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_rows_of_a_sweep_with_folds_are_configurations(dltrain, tmp_path):
    line = ["data=iris", "model=linear", "epochs=2", "optim.lr=0.01,1e-5", "seed=1,2", "split_seed=0", "folds=2"]
    assert dltrain("-m", *line, *QUICK).code == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    rows = [*csv.DictReader((folder / "leaderboard.csv").read_text().splitlines())]
    assert [(row["optim.lr"], row["folds"]) for row in rows] == [("0.01", "4"), ("1e-05", "4")]
    record = json.loads((folder / "out_of_fold.json").read_text())["configurations"]
    assert [each["values"]["optim.lr"] for each in record] == ["0.01", "1e-05"]
    found = pd.read_csv(folder / "predictions.csv")
    assert found.groupby(["configuration", "repeat"]).row.apply(sorted).tolist() == [[*range(150)]] * 4


def test_folds_of_other_data_have_a_file_of_their_own(dltrain, tmp_path):
    line = ["data=iris,breast_cancer", "model=linear", "epochs=1", "folds=2"]
    assert dltrain("-m", *line, *QUICK).code == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    found = [pd.read_csv(folder / f"predictions-{number}.csv") for number in (1, 2)]
    assert sorted(len(frame) for frame in found) == [150, 569]
    for frame in found:
        names = [name.removeprefix("probability ") for name in frame.columns if name.startswith("probability ")]
        assert {*frame.truth} == {*names}
    assert not (folder / "predictions.csv").exists()


def test_one_fold_alone_and_the_seed_of_the_splits(dltrain):
    tested = []
    for line in (["seed=1", "split_seed=7"], ["seed=2", "split_seed=7"], ["seed=7"], ["folds=5", "fold=2", "seed=7"]):
        outcome = dltrain("data=iris", "model=linear", "epochs=1", *line)
        assert outcome.code == 0
        environment = json.loads((outcome.folder / "environment.json").read_text())
        tested.append(environment["data"]["test"])
    assert tested[0] == tested[1] == tested[2] != tested[3]


@pytest.mark.slow  # fifteen jobs, twice
def test_killed_folds_end_as_unbroken_ones(real_data, tmp_path):
    line = [str(real_data / "tables" / "titanic.csv"), "target=Survived", "folds=5", "repeats=3", "epochs=20", *QUICK]
    command = [sys.executable, "-m", "trainer", *line, "checkpoint.min_seconds=0"]
    subprocess.run([*command, "hydra.sweep.dir=whole"], cwd=tmp_path, check=True, capture_output=True)
    resume = [sys.executable, "-m", "trainer", "resume=broken"]
    for wanted in (2, 7, 12):
        with subprocess.Popen(
            [*command, "hydra.sweep.dir=broken"] if wanted == 2 else resume, cwd=tmp_path, stdout=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 200
            while not (tmp_path / "broken" / str(wanted) / "checkpoints" / "last").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
    subprocess.run(resume, cwd=tmp_path, check=True, capture_output=True)
    for name in ("predictions.csv", "out_of_fold.json"):
        assert (tmp_path / "broken" / name).read_text() == (tmp_path / "whole" / name).read_text()
    tables = [pd.read_csv(tmp_path / name / "leaderboard.csv").drop(columns="seconds") for name in ("broken", "whole")]
    assert tables[0].equals(tables[1])
