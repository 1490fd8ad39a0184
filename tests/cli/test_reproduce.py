import json

import pytest
import torch

from trainer.cli.commands import reproduce
from trainer.data.description import fingerprints
from trainer.data.tensors import Examples, Loaders, TensorLoader
from trainer.files import write_json
from trainer.runs.index import Run


@pytest.fixture
def table(tmp_path):
    """Write a table of 60 rows."""
    path = tmp_path / "with space" / "table.csv"
    path.parent.mkdir()
    path.write_text("x,y\n" + "".join(f"{i},{3 * i + i % 7}\n" for i in range(60)))
    return path


@pytest.fixture(autouse=True)
def same_threads(one_thread, monkeypatch):
    """Set one thread for the second run too, which is a subprocess."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def verdicts(text):
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: line[-1] for line in lines if line and line[-1] in ("PASS", "FAIL")}


def test_identical_results_pass_and_changed_data_fails_and_is_named(dltrain, table):
    run_arguments = ("data=csv", f"data.path='{table}'", "data.target=y", "model=mlp", "epochs=2")
    first = dltrain(*run_arguments)
    assert first.code == 0, first.err
    outcome = dltrain("reproduce", f"run={first.folder}")
    assert outcome.code == 0, outcome.err
    assert set(verdicts(outcome.out).values()) == {"PASS"}
    assert {name.split("/")[0] for name in verdicts(outcome.out)} == {"best", "test"}
    assert "  data." not in outcome.out
    second = outcome.folder
    assert second != first.folder
    assert json.loads((second / "summary.json").read_text())["test"] == first.summary["test"]

    table.write_text(table.read_text().replace("59,180", "59,999"))
    outcome = dltrain("reproduce", f"run={first.folder}")
    assert outcome.code == 1
    assert "FAIL" in verdicts(outcome.out).values()
    assert "  data.train: " in outcome.out or "  data.val: " in outcome.out or "  data.test: " in outcome.out
    assert "error[1]" in outcome.err


def test_an_altered_result_fails_unless_within_tolerance(dltrain, monkeypatch):
    first = dltrain("model=linear", "epochs=1")
    again, altered = first.summary, first.summary
    second = Run(first.folder)
    second.summary = again
    monkeypatch.setattr(reproduce, "_again", lambda before, trust: second)
    altered["test"]["loss"] *= 1 + 1e-9
    write_json(first.folder / "summary.json", altered)
    outcome = dltrain("reproduce", f"run={first.folder}")
    assert outcome.code == 1
    failed = {name for name, verdict in verdicts(outcome.out).items() if verdict == "FAIL"}
    assert failed == {"test/loss"}
    assert "test/loss" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert dltrain("reproduce", f"run={first.folder}", "tolerance=1e-8").code == 0
    del altered["test"]["loss"]
    write_json(first.folder / "summary.json", altered)
    assert verdicts(dltrain("reproduce", f"run={first.folder}").out)["test/loss"] == "FAIL"


def test_a_job_of_a_sweep_is_reproduced_as_a_single_run(dltrain, tmp_path):
    dltrain("-m", "model=linear", "optim.lr=0.001,0.01", "+optim.amsgrad=true", "epochs=1")
    (job,) = tmp_path.glob("outputs/sweeps/*/*/1")
    outcome = dltrain("reproduce", f"run={job}")
    assert outcome.code == 0, outcome.err
    assert set(verdicts(outcome.out).values()) == {"PASS"}
    assert (outcome.folder / "config.yaml").read_text() == (job / "config.yaml").read_text()


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(dltrain):
    first = dltrain("model=linear", "epochs=1")
    (first.folder / "summary.json").unlink()
    outcome = dltrain("reproduce", "run=last")
    assert outcome.code == 4
    assert "has not finished (interrupted)" in outcome.err
    assert "dltrain resume=outputs/" in outcome.err


def test_a_run_without_its_command_is_refused(dltrain, tmp_path):
    first = dltrain("model=linear", "epochs=1")
    environment = json.loads((first.folder / "environment.json").read_text())
    write_json(first.folder / "environment.json", environment | {"command": "dltrain"})
    outcome = dltrain("reproduce", "run=last")
    assert outcome.code == 4
    assert "does not record the run's command" in outcome.err
    assert len([*tmp_path.glob("outputs/2*/*")]) == 1


@pytest.mark.parametrize("tolerance", ["-1", "some", "nan", "inf"])
def test_an_invalid_tolerance_is_refused(dltrain, tolerance):
    assert "expected a relative difference" in dltrain("reproduce", "run=last", f"tolerance={tolerance}").err


def loaders(inputs, targets):
    loader = TensorLoader(Examples(inputs, targets), 10, prepare=lambda batch: batch)
    return Loaders(loader, loader, loader)


@pytest.mark.parametrize("offset", [0, 3])
def test_the_fingerprint_covers_every_byte_of_the_data(offset):
    inputs = torch.randint(256, (1003, 1, 67, 67), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))[
        offset:
    ]
    targets = torch.arange(len(inputs))
    before = fingerprints(loaders(inputs, targets))
    assert before == fingerprints(loaders(inputs.clone(), targets.clone()))
    for place in (0, 1, 500, len(inputs) - 1):  # more than is hashed: of the inputs only a sample is
        changed = inputs.clone()
        changed[place, 0, -1, -1] += 1
        assert fingerprints(loaders(changed, targets))["train"] != before["train"]
    assert fingerprints(loaders(inputs, targets.flip(0))) != before
    assert fingerprints(loaders(inputs.reshape(len(inputs), -1), targets)) != before


def test_the_fingerprint_of_image_files_covers_names_and_sizes(dltrain, tmp_path):
    from PIL import Image

    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), number).save(tmp_path / "photos" / name / f"{number}.png")
    arguments = ("data=image_folder", "data.path=photos", "data.workers=0", "model=linear", "epochs=1")

    def noted():
        return json.loads((dltrain(*arguments).folder / "environment.json").read_text())["data"]

    before = noted()
    assert before == noted()
    Image.effect_noise((8, 8), 90).save(tmp_path / "photos" / "cats" / "3.png")
    assert before != noted()
