"""A trained model is measured again: on its own test split to the last digit, and on other data as that was read."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.data import description
from trainer.data._image.encoder import fit_images
from trainer.data.images import digits
from trainer.errors import CheckpointError, DataError
from trainer.runs import sealed

pytestmark = pytest.mark.usefixtures("one_thread")
CITIES = ["Rome", "Oslo", "Lima"]


def table_file(path, rows=80, header="size,city,rooms,price", swap=False, missing=()):
    lines = []
    for i in range(rows):
        cells = {"size": str(20 + i % 31), "city": CITIES[i % 3], "rooms": str(i % 5), "price": str(i % 31 * 2 + i % 3)}
        cells |= {"size": ""} if i in missing else {}
        lines.append(",".join(cells.get(name, f"{i}") for name in header.split(",")))
    path.write_text("\n".join([header, *lines]) + "\n")


def text_file(path, rows=60, labels=("even", "odd")):
    path.write_text("".join(f"{'ab' * (i % 4 + 1)}{'xy'[i % 2]},{labels[i % len(labels)]}\n" for i in range(rows)))


def image_files(folder, classes=("dark", "light"), count=12):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shade = 10 * number + (120 if name == "light" else 0)
            Image.new("RGB", (9 + number % 3, 10), (shade, number, 0)).save(folder / name / f"{number}.png")


def evaluated(dltrain, *arguments):
    outcome = dltrain("eval", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


@pytest.mark.parametrize(
    "run",
    [
        "data=digits model=strided_cnn epochs=2 precision=bf16",
        "data=digits model=resnet limit_batches=3 epochs=1 ema=0.9",
        "data=digits model=mlp overfit_batches=2 epochs=2 augment.noise=0.1",
        "data=digits model=gru epochs=1 limit_batches=9 channels_last=true",
        "data=csv data.path=table.csv data.target=price data.missing=mean epochs=2 model=mlp",
        "data=csv data.path=table.csv data.target=city data.missing=drop epochs=2 model=mlp loss=cross_entropy "
        "loss.weight=balanced",
        "data=diabetes model=linear optim=lbfgs precision=fp64 epochs=2 data.batch_size=full",
        "data=breast_cancer model=logistic epochs=2 accumulate=2 loss=bce loss.weight=[1,3]",
        "data=text data.path=texts.csv model=lstm epochs=2",
        "data=image_folder data.path=images data.workers=0 data.size=8 model=simple_cnn epochs=1",
        "data=synthetic_linear model=linear epochs=1",
        "data=hours model=logistic epochs=2",
    ],
)
def test_the_test_metrics_come_again_to_the_last_digit(dltrain, tmp_path, monkeypatch, run):
    table_file(tmp_path / "table.csv", missing=(3, 40))
    text_file(tmp_path / "texts.csv")
    image_files(tmp_path / "images")
    trained = dltrain(*run.split())
    assert trained.code == 0, trained.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # relative paths are of the folder that the run was trained in
    found = evaluated(dltrain, f"run={trained.folder}")
    assert found["equal"] is True
    assert found["metrics"] == trained.summary["test"]
    assert found["intervals"] == trained.summary["test_interval"]
    assert "PASS  equal to the run's" in dltrain("eval", f"run={trained.folder}").out


@pytest.mark.parametrize(
    "run",
    ["data=mnist model=strided_cnn", "data=pima model=mlp", "data=boston model=mlp ema=0.99", "data=names model=rnn"],
)
def test_of_real_data_too(dltrain, real_data, small_mnist, run):
    root = small_mnist if "mnist" in run else real_data
    trained = dltrain(*run.split(), f"data.root={root}", "epochs=1", "limit_batches=20")
    assert evaluated(dltrain)["metrics"] == trained.summary["test"]


def test_a_copy_of_a_run_goes_by_its_own_files(dltrain, tmp_path):
    trained = dltrain("data=iris", "model=mlp", "epochs=2")
    shutil.copytree(trained.folder, tmp_path / "a copy", symlinks=True)
    assert evaluated(dltrain, f"run={tmp_path / 'a copy'}")["equal"] is True


def test_another_table_is_read_by_the_names_of_its_columns(dltrain, tmp_path):
    table_file(tmp_path / "table.csv")
    dltrain("data=csv", "data.path=table.csv", "data.target=price", "model=mlp", "epochs=2")
    table_file(tmp_path / "same.csv", rows=40)
    table_file(tmp_path / "other.csv", rows=40, header="price,more,rooms,city,size")
    same = evaluated(dltrain, "data.path=same.csv")
    other = evaluated(dltrain, "data=csv", "data.path=other.csv")
    assert same["num_examples"] == 40
    assert same["metrics"] == other["metrics"]
    table_file(tmp_path / "short.csv", header="price,city,size")
    refused = dltrain("eval", "data.path=short.csv")
    assert refused.code == 3
    assert "no column 'rooms'" in refused.err
    for line in ("data.val_fraction=[a", "data.val_fraction=2026-13-45", "data.val_fraction=a: b: c"):
        refused = dltrain("eval", line)
        assert refused.code == 2
        assert f"{line}: invalid syntax" in refused.err


def test_the_scale_is_that_of_training(dltrain, tmp_path):
    """Twice as large values, scaled by themselves, would be the same inputs."""
    rows = [(i, 3 * i + 1) for i in range(60)]
    for name, factor in [("a", 1), ("b", 2)]:
        (tmp_path / f"{name}.csv").write_text(
            "x,y\n" + "".join(f"{factor * x},{3 * factor * x + 1}\n" for x, _ in rows)
        )
    dltrain(
        "data=csv",
        "data.path=a.csv",
        "data.target=y",
        "model=linear",
        "optim=lbfgs",
        "data.batch_size=full",
        "epochs=9",
    )
    assert evaluated(dltrain, "data.path=b.csv")["metrics"]["rmse"] < 0.1


def test_other_texts_and_a_label_that_is_not_known(dltrain, tmp_path):
    text_file(tmp_path / "texts.csv")
    dltrain("data=text", "data.path=texts.csv", "model=gru", "epochs=2")
    text_file(tmp_path / "few.csv", rows=4)
    assert evaluated(dltrain, "data=text", "data.path=few.csv")["num_examples"] == 4
    text_file(tmp_path / "three.csv", labels=("even", "odd", "prime"))
    refused = dltrain("eval", "data.path=three.csv")
    assert "three.csv: line 3: the training file has no label 'prime'" in refused.err


def test_all_images_of_another_folder(dltrain, tmp_path):
    image_files(tmp_path / "images")
    run = ["data=image_folder", "data.path=images", "data.workers=0", "data.size=8", "model=logistic", "epochs=2"]
    trained = dltrain(*run, "data.test_fraction=0.5")
    shutil.copytree(tmp_path / "images", tmp_path / "whole")
    found = evaluated(dltrain, "data=image_folder", "data.path=whole", "data.workers=0")
    assert found["num_examples"] == 24
    assert evaluated(dltrain)["metrics"] == trained.summary["test"]
    image_files(tmp_path / "more", classes=("dark", "red"))
    refused = dltrain("eval", "data.path=more")
    assert refused.code == 3
    assert "class 'red' is unknown in training; did you mean" in refused.err or "choose from dark, light" in refused.err


def test_other_images_in_memory_have_the_size_and_range_of_the_training(dltrain, small_mnist):
    dltrain("data=digits", "model=logistic", "epochs=5")
    outcome = dltrain("eval", "data=mnist", f"data.root={small_mnist}")
    assert "resized from (28, 28) to (8, 8)" in outcome.out
    assert evaluated(dltrain, "data=mnist", f"data.root={small_mnist}")["metrics"]["accuracy"] > 0.2
    assert dltrain("eval", "data=iris").code == 2


def test_images_keep_their_values_where_they_fit_already():
    splits, spec = digits()
    same, done = spec.encoder.fitted(splits.test.inputs, 16)
    assert torch.equal(same, splits.test.inputs)
    assert done == []
    colour, done = fit_images([torch.full((4, 3, 8, 8), 9, dtype=torch.uint8)]).fitted(splits.test.inputs, 16)
    assert colour.shape[1:] == (3, 8, 8)
    assert colour.max() == 255
    assert done == ["grey in three channels"]


def test_data_that_has_changed_is_noticed(dltrain, tmp_path):
    table_file(tmp_path / "table.csv")
    dltrain("data=csv", "data.path=table.csv", "data.target=price", "model=linear", "epochs=1")
    table_file(tmp_path / "table.csv", rows=81)
    refused = dltrain("eval")
    assert refused.code == 3
    assert "its data has changed" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=nowhere"], "there is no run at"),
        (["epochs=3"], "only the data of the run's config can be changed"),
        (["data.pth=x.csv"], "has no pth"),
        (["data=csv"], "data.path is required"),
        (["data=text", "data.path=x.csv"], "this model reads features of shape (4,), not tokens"),
        (["data=mnist"], "new features are only read from files; use data=csv data.path=..."),
        (["data.path=x.csv"], "trainer.data.tabular.iris, has no path"),
        (["data=csv", "data.path=missing.csv"], "missing.csv: no such file"),
        (["jsn=true"], "did you mean json"),
        (["device=cuda:9"], "device=cuda:9"),
    ],
)
def test_what_cannot_be_is_one_line(dltrain, arguments, message):
    dltrain("data=iris", "model=linear", "epochs=1")
    outcome = dltrain("eval", *arguments)
    assert outcome.code in (2, 3, 4)
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def checkpoint_with(folder, content):
    """The best checkpoint with another data.json, sealed as if it had been written so."""
    best = (folder / "checkpoints" / "best").resolve()
    about = sealed.manifest(best)
    if content is None:
        (best / "data.json").unlink()
        del about["files"]["data.json"]
    else:
        (best / "data.json").write_bytes(content)
        about["files"]["data.json"] = {"bytes": len(content), "sha256": sealed.sha256(content)}
    (best / "checkpoint.json").write_bytes(sealed.sealed(about))


def changed(**values):
    def change(content):
        plain = json.loads(content)
        plain["spec"] |= values
        return json.dumps(plain).encode()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: None, "has no data.json"),
        (lambda c: b"", "data.json"),
        (lambda c: b"\xff\xfe", "data.json"),
        (lambda c: b"[" * 100_000, "data.json"),
        (lambda c: b"[]", "not in format 1"),
        (lambda c: c.replace(b'"format": 1', b'"format": 2'), "not in format 1"),
        (lambda c: c.replace(b'"mean": 0.0', b'"mean": NaN'), "data.json"),
        (lambda c: c.replace(b'"task": "multiclass"', b'"task": "magic"'), "data.json"),
        (changed(in_shape=[10**12]), "in_shape"),
        (changed(in_shape=[-4]), "in_shape"),
        (changed(in_shape="4"), "in_shape"),
        (changed(out_features=True), "out_features"),
        (changed(class_names=["a"]), "class_names"),
        (changed(encoder={"__import__": "os"}), "encoder"),
        (changed(encoder={"tokens": [], "unit": "characters", "max_length": 4}), "tokens"),
        (changed(more=1), "expected"),
    ],
)
def test_a_hostile_description_is_refused_in_one_line(dltrain, change, message):
    trained = dltrain("data=iris", "model=linear", "epochs=1")
    content = (trained.folder / "checkpoints" / "best" / "data.json").read_bytes()
    checkpoint_with(trained.folder, change(content))
    outcome = dltrain("eval")
    assert outcome.code == CheckpointError.code, outcome.err
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "value"), [("largest", 0), ("largest", 10**9), ("std", [0.0]), ("drawing", {"side": 1e9})]
)
def test_an_encoder_of_images_that_makes_no_sense_is_refused(key, value):
    splits, spec = digits()
    plain = json.loads(description.dumps(spec, splits.train.targets))
    encoder = plain["spec"]["encoder"]
    encoder[key] = encoder[key] | value if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=key):
        description.loads(json.dumps(plain).encode())


def test_a_damaged_description_is_noticed_before_it_is_read(dltrain):
    trained = dltrain("data=iris", "model=linear", "epochs=1")
    path = trained.folder / "checkpoints" / "best" / "data.json"
    path.write_bytes(path.read_bytes().replace(b"setosa", b"versos"))
    outcome = dltrain("eval")
    assert outcome.code == CheckpointError.code
    assert "data.json: SHA-256" in outcome.err


@pytest.mark.parametrize("name", ["digits", "iris", "diabetes", "hours", "synthetic_linear"])
def test_a_description_is_exact(name):
    from trainer.build import parts
    from trainer.config.check import checked

    loaders, spec = parts.data(checked([f"data={name}"])[0], torch.device("cpu"))
    content = description.dumps(spec, loaders.train.targets)
    again = description.loads(content)
    assert again.spec.encoder == spec.encoder
    assert again.spec.target_mean == spec.target_mean
    assert description.dumps(again.spec, loaders.train.targets) == content
    if spec.task != "regression":
        counts = [torch.bincount(part.flatten().long()) for part in (again.targets(), loaders.train.targets)]
        assert torch.equal(*counts)
        assert again.targets().shape[1:] == loaders.train.targets.shape[1:]


def test_what_cannot_be_kept_is_said_before_training():
    _, spec = digits()
    with pytest.raises(DataError, match="the description of the data cannot be saved"):
        description.dumps(description.replace(spec, target_mean=float(np.nan)), torch.zeros(3).long())


def test_a_run_that_was_gone_on_with_keeps_its_description(dltrain):
    trained = dltrain("data=digits", "model=logistic", "epochs=1")
    before = (trained.folder / "checkpoints" / "last" / "data.json").read_bytes()
    dltrain("resume=last", "epochs=3")
    assert (trained.folder / "checkpoints" / "last" / "data.json").read_bytes() == before
    assert evaluated(dltrain)["equal"] is True
