"""Run folders of earlier releases (tests/fixtures/<version>, made by make.py there) are read, resumed and compared."""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from resuming import different, end_of
from safetensors.torch import load_file

from trainer.config.check import checked
from trainer.engine.meter import Best
from trainer.metrics.names import RECORDED, Meaning
from trainer.runs import leaderboard
from trainer.runs.ledger import Ledger, meaning_of
from trainer.runs.run import Run
from trainer.sweeps.resume import config_hash

TODAY = {"f1": "f1_macro"}  # names of metrics
OLDER = ("mse", "rmse", "mae", "r2")  # of regressions
FIXTURES = Path(__file__).parents[1] / "fixtures"
RELEASES = sorted(file.parent.name for file in FIXTURES.glob("*/expected.json"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=RELEASES)
def release(request, tmp_path, monkeypatch):
    """Copy the run folders of a release into the working folder; return what that release computed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the jobs of a sweep
    shutil.copytree(FIXTURES / request.param, tmp_path, symlinks=True, dirs_exist_ok=True)
    return json.loads((tmp_path / "expected.json").read_text())


def is_exact(release):
    """Return whether this is the torch and the kind of CPU of the release; others round differently from the start."""
    now = (torch.__version__.split("+")[0], torch.backends.cpu.get_cpu_capability())
    return now == (release["torch"], release["cpu"])


def agree(found, expected, exact):
    """Return whether numbers, also as text, are equal: to the last bit if `exact`, otherwise to 1e-5."""
    if isinstance(expected, dict):
        return expected.keys() <= found.keys() and all(agree(found[k], expected[k], exact) for k in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(agree(*pair, exact) for pair in zip(found, expected, strict=True))
    try:
        return float(found) == (float(expected) if exact else pytest.approx(float(expected), rel=1e-5, abs=1e-5))
    except ValueError:
        return found == expected


def rows_of(file):
    return list(csv.DictReader(Path(file).read_text().splitlines()))


def weights_of(folder):
    names = ("last", "best")
    found = {name: load_file(Path(folder) / "checkpoints" / name / "model.safetensors") for name in names}
    return {name: {key: tensor.tolist() for key, tensor in weights.items()} for name, weights in found.items()}


def test_a_finished_run_is_evaluated_and_predicts_as_it_did(dltrain, tmp_path, release):
    exact = is_exact(release)
    found = json.loads(dltrain("eval", "run=finished", "--json").out)
    assert agree(found["metrics"], found["metrics_of_run"], exact)
    (tmp_path / "flowers.csv").write_text(release["flowers"])
    predicted = dltrain("predict", "run=finished", "input=flowers.csv", "output=predictions.csv")
    assert predicted.code == 0, predicted.err
    assert agree(rows_of("predictions.csv"), release["predictions"], exact)


def test_a_finished_run_is_exported_compared_and_trained_for_longer(dltrain, tmp_path, release):
    best = load_file("finished/checkpoints/best/model.safetensors")
    assert dltrain("export", "run=finished", "format=safetensors", "output=net.safetensors").code == 0
    exported = load_file("net.safetensors")
    assert {key: tensor.tolist() for key, tensor in exported.items()} == {k: t.tolist() for k, t in best.items()}
    compared = json.loads(dltrain("compare", "finished", "interrupted", "--json").out)
    assert compared["differs"]["epochs"] == [3, 20]
    assert [len(run["curve"]) for run in compared["runs"]] == [3, len(rows_of("interrupted/metrics.csv"))]
    longer = dltrain("resume=finished", "epochs=4")
    assert longer.code == 0, longer.err
    assert [row["epoch"] for row in rows_of("finished/metrics.csv")] == ["1", "2", "3", "4"]


def first_of_equals(best, metrics):
    """Rank epochs as up to 0.1.0, where the loss did not break ties."""
    return best.sign * metrics.get(best.monitor, math.nan), 0.0


def test_an_interrupted_run_resumes_to_the_end_of_an_uninterrupted_one(dltrain, tmp_path, monkeypatch, release):
    command = json.loads(Path("interrupted/environment.json").read_text())["command"][1:-1]
    with monkeypatch.context() as patched:
        patched.setattr(Best, "_rank", first_of_equals)
        assert dltrain(*command, "hydra.run.dir=unbroken").code == 0
    resumed = dltrain("resume=interrupted")
    assert resumed.code == 0, resumed.err
    exact = is_exact(release)
    assert agree(weights_of("interrupted"), release["weights"], exact)
    test = {TODAY.get(name, name): value for name, value in release["test"].items()}
    assert agree(Run(Path("interrupted")).metrics("test"), test, exact)
    if exact:
        rows = Path("interrupted/metrics.csv")  # keeps the names that the run started with
        rows.write_text(re.sub(r"(train|val)/f1\b", r"\1/f1_macro", rows.read_text()))
        assert different(end_of(tmp_path / "interrupted"), end_of(tmp_path / "unbroken")) == []
    else:
        assert agree(weights_of("interrupted"), weights_of("unbroken"), exact)


def test_an_interrupted_sweep_resumes_to_the_leaderboard_of_an_uninterrupted_one(dltrain, release):
    resumed = dltrain("-m", "resume=sweep")
    assert resumed.code == 0, resumed.err
    events = [json.loads(line) for line in Path("sweep/sweep.jsonl").read_text().splitlines()]
    assert [event["job"] for event in events if event["event"] == "started"] == [0, 1, 1, 2, 3]
    assert agree(rows_of("sweep/leaderboard.csv"), release["leaderboard"], is_exact(release))
    compared = json.loads(dltrain("compare", "sweep", "--json").out)
    assert compared["keys"] == ["optim.lr"]


def test_a_knob_that_an_older_config_lacks_has_its_default(dltrain, release):
    config = Path("finished", "config.yaml")
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith("deterministic:")))
    outcome = dltrain("resume=finished")
    assert outcome.code == 0, outcome.err
    assert "already finished" in outcome.out


def make_old(folder):
    """Name things in a run as 0.1.0 did, which had one f1, the macro average."""
    for name in ("summary.json", "config.yaml", "metrics.csv", ".hydra/overrides.yaml"):
        path = folder / name
        path.write_text(path.read_text().replace("f1_macro", "f1"))
    path = folder / "environment.json"
    recorded = json.loads(path.read_text().replace("f1_macro", "f1"))
    del recorded["f1"]
    path.write_text(json.dumps(recorded))


def test_a_new_job_of_an_old_sweep_measures_the_f1_of_its_other_jobs(dltrain):
    command = ["data=breast_cancer", "model=mlp", "model.hidden=[4]", "plots=off", "tensorboard=off", "epochs=1"]
    metrics = ["metrics=[accuracy,f1_macro]", "monitor=f1_macro", "seed=1,2", "hydra.sweep.dir=sweep"]
    assert dltrain("-m", *command, *metrics).code == 0
    (before,) = rows_of("sweep/leaderboard.csv")
    ledger = Path("sweep/sweep.jsonl")
    events = [json.loads(line) for line in ledger.read_text().replace("f1_macro", "f1").splitlines()]
    del events[0]["f1"]
    samples = events[0]["samples"]
    events[0]["samples"] = {line: config_hash(checked(line.split())[0]) for line in samples}
    ledger.write_text("".join(f"{json.dumps(event)}\n" for event in events if event.get("job") != 1))
    shutil.rmtree("sweep/1")
    make_old(Path("sweep/0"))
    leaderboard._run.cache_clear()  # of this process, which has not written that

    resumed = dltrain("-m", "resume=sweep")
    assert resumed.code == 0, resumed.err
    assert "f1 stands for f1_macro" in resumed.out
    (after,) = rows_of("sweep/leaderboard.csv")
    names = ("metric", "seeds", "val_mean", "val_std", "test_mean")
    assert [after[name] for name in names] == [before[name] for name in names]
    assert before["metric"] == "f1_macro"
    assert dltrain("resume=sweep/1", "epochs=2").code == 0  # what f1 is was recorded
    assert Run(Path("sweep/1")).summary["monitor"] == "f1_macro"


def test_f1_of_an_old_run_of_two_classes_is_the_macro_average_it_was(dltrain):
    command = ["data=breast_cancer", "model=mlp", "model.hidden=[4]", "plots=off", "tensorboard=off", "epochs=1"]
    assert dltrain(*command, "metrics=[accuracy,f1_macro]", "monitor=f1_macro", "hydra.run.dir=old").code == 0
    make_old(Path("old"))

    found = json.loads(dltrain("eval", "run=old", "--json").out)
    assert found["metrics"].keys() == {"loss", "accuracy", "f1_macro"}
    assert found["equal"]
    resumed = dltrain("resume=old", "epochs=2")
    assert resumed.code == 0
    assert "f1 stands for f1_macro" in resumed.out
    assert Run(Path("old")).summary["monitor"] == "f1_macro"
    assert all(0 < row["val/f1_macro"] <= 1 for row in Run(Path("old")).history)

    assert dltrain(*command, "hydra.run.dir=new").code == 0
    names = set(Run(Path("new")).metrics("test"))
    assert names == {"loss", "accuracy", "f1", "auc"}


def test_an_old_run_of_a_regression_goes_on_by_mse_and_so_does_a_new_job_of_an_old_sweep(dltrain, tmp_path):
    command = ["data=diabetes", "model=linear", "plots=off", "tensorboard=off", "epochs=1", "metrics=[mse,rmse,mae,r2]"]
    assert dltrain(*command, "hydra.run.dir=old").code == 0
    for name in ("config.yaml", ".hydra/overrides.yaml", "environment.json"):
        path = Path("old", name)
        text = re.sub(r"metrics:\n(- \w+\n)+", "metrics: auto\n", path.read_text())
        path.write_text(text.replace("metrics=[mse,rmse,mae,r2]", "metrics=auto"))
    path = Path("old/environment.json")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "best"}))
    resumed = dltrain("resume=old", "epochs=2")
    assert resumed.code == 0, resumed.err
    assert Run(Path("old")).summary["monitor"] == "mse"
    assert [row["val/mse"] for row in Run(Path("old")).history] == pytest.approx(
        [row["val/rmse"] ** 2 for row in Run(Path("old")).history]
    )
    assert json.loads(dltrain("eval", "run=old", "--json").out)["equal"]

    for folder, recorded in (("new sweep", RECORDED), ("old sweep", {"f1": RECORDED["f1"]})):
        (tmp_path / folder).mkdir()
        Ledger(tmp_path / folder).append("sweep", command=[], samples={}, jobs=1, **recorded)
    assert meaning_of(tmp_path / "new sweep" / "0") == Meaning()
    assert meaning_of(tmp_path / "old sweep" / "0") == Run(Path("old")).meaning == ("f1", OLDER, False)


SETTINGS = {  # how an older version's settings of data=csv differ from today's, and whether that is said
    "other settings": ({"missing": None, "header": None, "keep": []}, False),
    "another default": ({"missing": "error"}, True),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_sweep_resumes_where_settings_came_went_or_changed_their_default_since(dltrain, case):
    differ, is_said = SETTINGS[case]
    Path("t.csv").write_text("x,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    command = ["data=csv", "data.path=t.csv", "data.target=y", "model=linear,mlp", "epochs=1", "tensorboard=off"]
    assert dltrain("-m", *command, "hydra.sweep.dir=sweep").code == 0
    before = [row | {"seconds": ""} for row in rows_of("sweep/leaderboard.csv")]
    config, ledger = OmegaConf.load("sweep/0/config.yaml"), Path("sweep/sweep.jsonl")
    config.data = {**config.data, **differ}
    for name in [name for name, value in differ.items() if value is None]:
        del config.data[name]
    OmegaConf.save(config, "sweep/0/config.yaml")
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in events[0]["samples"]:
        cfg, _ = checked(line.split())
        cfg.data = config.data
        events[0]["samples"][line] = config_hash(cfg)
    ledger.write_text("".join(f"{json.dumps(event)}\n" for event in events if event.get("job") != 1))
    shutil.rmtree("sweep/1")
    leaderboard._run.cache_clear()  # of this process, which has not written that

    resumed = dltrain("-m", "resume=sweep")
    assert resumed.code == 0, resumed.err
    assert ('kept     data.missing="error", which the sweep has' in resumed.out) == is_said
    assert OmegaConf.load("sweep/1/config.yaml").data.missing == ("error" if is_said else "auto")
    assert [row | {"seconds": ""} for row in rows_of("sweep/leaderboard.csv")] == before
    assert "all 2 jobs have ended" in dltrain("-m", "resume=sweep").out

    OmegaConf.update(cfg, "data.missing", "drop", force_add=True)  # of one of the two jobs alone: no default
    events[0]["samples"][line] = config_hash(cfg)
    ledger.write_text("".join(f"{json.dumps(event)}\n" for event in events if event.get("job") != 1))
    refused = dltrain("-m", "resume=sweep")
    assert (refused.code, "means something else now" in refused.err) == (4, True)
