"""A run or sweep folder from a stranger: nothing of it runs, and nothing outside it is written or deleted."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch

from trainer import errors
from trainer.config import user_modules
from trainer.files import read_json, write_json
from trainer.runs import sealed
from trainer.runs.folder import RunFolder
from trainer.runs.index import find
from trainer.runs.ledger import Ledger
from trainer.runs.trust import stranger

TINY = (
    "data=iris",
    "model=mlp",
    "model.hidden=[4]",
    "plots=off",
    "tensorboard=off",
    "scheduler=constant",
    "checkpoint.min_seconds=0",
)
NET = """
from pathlib import Path
from torch import nn
Path("CANARY").touch()
class Net(nn.Sequential):
    def __init__(self, in_shape, out_features):
        super().__init__(nn.Flatten(), nn.Linear(in_shape[0], out_features))
"""
KEPT = "my thesis\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test's own, for the key; and modules of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(user_modules._finder, "names", set())
    yield
    sys.modules.pop("mynet", None)


@pytest.fixture
def run(dltrain, tmp_path):
    """A run that can be resumed."""
    assert dltrain(*TINY, "epochs=2", "hydra.run.dir=run").code == 0
    (tmp_path / "run" / "summary.json").unlink()
    return RunFolder(tmp_path / "run")


def edit(file, change):
    content = read_json(file)
    change(content)
    write_json(file, content)


def forget_import(tmp_path):
    sys.modules.pop("mynet", None)
    user_modules._finder.names.clear()
    (tmp_path / "CANARY").unlink(missing_ok=True)


@pytest.fixture
def own_model(tmp_path):
    (tmp_path / "mynet.py").write_text(NET)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mynet.yaml").write_text("# mine\n_target_: mynet.Net\n")


@pytest.mark.parametrize("name", [".lock", "train.log", "metrics.csv", ".hydra", "plots", "checkpoints", "anything"])
def test_nothing_is_written_through_a_link(dltrain, tmp_path, run, name):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "config.yaml").write_text(KEPT)
    (tmp_path / "victim" / ".git").mkdir()
    (tmp_path / "thesis").write_text(KEPT)
    file = run.path / name
    is_folder = file.is_dir() or name == "plots"
    if file.is_dir():
        for part in file.iterdir():
            shutil.move(part, tmp_path / "victim" / part.name) if part.name != "config.yaml" else None
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    file.symlink_to(tmp_path / ("victim" if is_folder else "thesis"))
    before = sorted((tmp_path / "victim").iterdir())
    outcome = dltrain("resume=run", "epochs=3")
    assert outcome.code == 6, outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert (tmp_path / "thesis").read_text() == KEPT
    assert (tmp_path / "victim" / "config.yaml").read_text() == KEPT
    assert sorted((tmp_path / "victim").iterdir()) == before


@pytest.mark.parametrize("command", [("runs", "root=."), ("eval", "run=d/run"), ("resume=d/run", "epochs=3")])
@pytest.mark.parametrize("name", ["summary.json", "environment.json", "config.yaml", "metrics.csv", ".lock"])
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero"])
def test_no_pipe_is_waited_for_and_no_device_read(dltrain, tmp_path, run, name, kind, command):
    (tmp_path / "0d").mkdir()
    os.rename(run.path, tmp_path / "0d" / "run")
    (tmp_path / "d").symlink_to("0d")
    file = tmp_path / "0d" / "run" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file) if kind == "pipe" else file.symlink_to(kind)
    start = time.monotonic()
    assert dltrain(*command).code in (0, 4, 6)
    assert time.monotonic() - start < 20


def test_only_our_leftovers_are_deleted(dltrain, tmp_path, run):
    ours = [run.path / ".part-0123-config.yaml", run.checkpoints / ".part-0123-step-00000001"]
    others = [run.checkpoints / ".git", run.path / ".env"]
    for path in (*ours, *others):
        path.mkdir()
    link = run.checkpoints / ".part-4567-last"  # a kill between its making and its renaming
    link.symlink_to("step-00000001")
    assert dltrain("resume=run", "epochs=3").code == 0
    assert [path.exists() for path in (*ours, *others)] == [False, False, True, True]
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "lines",
    [
        ["hydra.mode=MULTIRUN", "hydra/launcher=submitit_local", "+hydra.launcher.setup=['touch CANARY']"],
        ["hydra.searchpath=[pkg://mynet]"],
        ["hydra.output_subdir=victim"],
        ["hydra.run.dir=victim"],
        ["+hydra.callbacks.x._target_=mynet.Net"],
        ["hydra.job_logging.handlers.file.filename=victim/config.yaml"],
        ["trust=true"],
    ],
)
def test_a_recorded_command_configures_the_run_alone(dltrain, tmp_path, run, lines, own_model):
    (tmp_path / "victim").mkdir()
    edit(run.environment, lambda about: about["command"].extend(lines))
    assert dltrain("resume=run", "epochs=3").code == 0
    assert dltrain("reproduce", "run=run").code == 0
    assert [*(tmp_path / "victim").iterdir()] == []
    assert not (tmp_path / "CANARY").exists()
    assert not {"trust=true", *lines} & {*read_json(run.environment)["resumed"][0]["command"]}


@pytest.mark.parametrize("command", [("eval", "run=run"), ("export", "run=run", "format=safetensors"), ("resume=run",)])
def test_a_strangers_run_imports_a_users_module_only_when_told(dltrain, tmp_path, run, own_model, command):
    text = run.config.read_text()
    run.config.write_text(text.replace("trainer.models.mlp.MLP", "mynet.Net"))
    edit(run.environment, lambda about: about["command"].insert(1, "--config-dir=conf"))
    edit(run.environment, lambda about: about["command"].append("model=mynet"))
    outcome = dltrain(*command)
    assert outcome.code == 4
    assert f"would run {tmp_path / 'mynet.py'}" in outcome.err
    assert "trust=true" in outcome.err
    assert not (tmp_path / "CANARY").exists()
    dltrain(*command, "trust=true")
    assert (tmp_path / "CANARY").exists()


def test_ones_own_run_needs_no_trust_until_it_is_changed_or_moved(dltrain, tmp_path, own_model, monkeypatch):
    mine = ("--config-dir", "conf", "data=iris", "model=mynet", "hydra.run.dir=run", *TINY[3:])
    assert dltrain(*mine, "epochs=1").code == 0
    assert os.stat(tmp_path / "home" / "dltrain" / "key").st_mode & 0o077 == 0
    assert dltrain("eval", "run=run").code == 0
    assert dltrain("resume=run", "epochs=2").code == 0
    assert dltrain("eval", "run=run").code == 0
    assert stranger(tmp_path / "run") is None
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "mynet.py", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    forget_import(tmp_path)
    assert dltrain("eval", "run=../run").code == 4
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text() + "#\n")
    assert dltrain("eval", "run=run").code == 4
    assert dltrain("eval", "run=run", "trust=true").code == 0


def test_a_sweep_of_ones_own_model_resumes_and_a_strangers_asks(dltrain, tmp_path, own_model):
    mine = ("--config-dir", "conf", "data=iris", "model=mynet", "epochs=1", "seed=1,2", *TINY[3:])
    assert dltrain("-m", *mine, "hydra.sweep.dir=sweep").code == 0
    assert dltrain("-m", "resume=sweep").code == 0
    ledger, job = tmp_path / "sweep" / "sweep.jsonl", tmp_path / "sweep" / "0"
    assert dltrain("eval", f"run={job}").code == 0
    shutil.copy(ledger, job)  # what signs a sweep signs no run
    (job / "config.yaml").write_text((job / "config.yaml").read_text() + "#\n")
    assert dltrain("eval", f"run={job}").code == 4
    ledger.write_text(ledger.read_text().replace('"signature": "', '"signature": "0'))
    outcome = dltrain("-m", "resume=sweep")
    assert outcome.code == 4
    assert "trust=true" in outcome.err
    assert dltrain("-m", "resume=sweep", "trust=true").code == 0


def test_configs_from_outside_the_working_folder_name_a_users_module_only_when_trusted(
    dltrain, tmp_path, own_model, monkeypatch
):
    mine = ["--config-dir", str(tmp_path / "conf"), "data=iris", "model=mynet", "epochs=1", *TINY[3:]]
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "mynet.py", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for more in ([], ["model.width=3"], ["dry_run=true"], ["-m", "seed=1,2"]):
        outcome = dltrain(*mine, *more)
        assert outcome.code == 2
        assert f"would run {tmp_path / 'elsewhere' / 'mynet.py'}" in outcome.err
    assert not (tmp_path / "elsewhere" / "CANARY").exists()
    assert dltrain(*mine, "trust=true", "hydra.run.dir=run").code == 0
    assert dltrain("resume=run", "epochs=2").code == 2
    assert dltrain("resume=run", "epochs=2", "trust=true").code == 0
    monkeypatch.chdir(tmp_path)
    forget_import(tmp_path)
    assert dltrain(*mine).code == 0


def test_a_module_that_exits_is_an_error(dltrain, tmp_path, own_model):
    (tmp_path / "mynet.py").write_text("raise SystemExit(0)")
    outcome = dltrain("--config-dir", "conf", "data=iris", "model=mynet")
    assert outcome.code == 2
    assert "SystemExit" in outcome.err


def test_a_users_module_imports_its_neighbours_and_nothing_else_does(dltrain, tmp_path, own_model):
    (tmp_path / "layers.py").write_text("from torch import nn\nflat = nn.Flatten()\n")
    (tmp_path / "mynet.py").write_text(NET.replace("nn.Flatten()", "__import__('layers').flat"))
    for name in ("tensorflow", "pydot", "opt_einsum"):  # that libraries look for
        (tmp_path / f"{name}.py").write_text("open('CANARY-' + __name__, 'w')")
    outcome = dltrain("--config-dir", "conf", "data=iris", "model=mynet", "epochs=1", *TINY[3:])
    assert outcome.code == 0, outcome.err
    assert sys.modules.pop("layers").__file__ == str(tmp_path / "layers.py")
    with pytest.raises(ModuleNotFoundError):
        __import__("tensorflow")
    assert not [*tmp_path.glob("CANARY-*")]


def test_files_called_like_pythons_own_modules_are_left_alone(tmp_path):
    for name in ("random", "types", "json", "torch", "numpy", "trainer", "sitecustomize", "readline", "tensorflow"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'CANARY')!r}, 'a').write(__name__)")
    command = [shutil.which("dltrain"), "-m", *TINY, "epochs=1", "seed=1,2", "sweep.jobs=2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "CANARY").exists()


def resealed(checkpoint, change):
    """Change the state in a checkpoint as somebody who knows the format would."""
    state = torch.load(checkpoint / "state.pt", weights_only=True)
    change(state)
    torch.save(state, checkpoint / "state.pt")
    about = json.loads((checkpoint / "checkpoint.json").read_text())
    del about["sha256"]
    content = (checkpoint / "state.pt").read_bytes()
    about["files"]["state.pt"] = {"bytes": len(content), "sha256": sealed.sha256(content)}
    (checkpoint / "checkpoint.json").write_bytes(sealed.sealed(about))


def averages(state):
    return state["update"]["optimizer"]["state"].values()


def set_all(state, name, value):
    for values in averages(state):
        values[name] = value(values[name])


@pytest.mark.parametrize(
    "change",
    [
        lambda state: set_all(state, "exp_avg", lambda old: torch.zeros(1)),
        lambda state: set_all(state, "exp_avg", lambda old: torch.zeros(())),
        lambda state: set_all(state, "exp_avg_sq", lambda old: torch.zeros(1).expand(2**36)),
        lambda state: set_all(state, "exp_avg_sq", lambda old: torch.zeros(old.shape, dtype=torch.int8)),
        lambda state: set_all(state, "exp_avg", lambda old: old.flatten()),
        lambda state: set_all(state, "step", lambda old: torch.zeros(3)),
        lambda state: state["update"]["optimizer"]["param_groups"][0].update(betas="x"),
        lambda state: state["update"]["optimizer"]["param_groups"][0].update(params=[0]),
        lambda state: state["update"].pop("optimizer"),
        lambda state: state.update(parameters=[*reversed(state["parameters"])]),
        lambda state: state.update(position="x"),
        lambda state: state.update(random={}),
    ],
)
def test_a_state_that_does_not_fit_is_refused(dltrain, run, change):
    for checkpoint in run.checkpoints.glob("step-*"):
        resealed(checkpoint, change)
    outcome = dltrain("resume=run", "epochs=3")
    assert outcome.code == 4, outcome.err
    assert "the state does not fit this run" in outcome.err


def test_a_state_of_another_implementation_or_version_of_the_optimizer_is_taken(dltrain, run):
    def change(state):
        (group,) = state["update"]["optimizer"]["param_groups"]
        group |= {"fused": None, "foreach": False, "from_the_future": 1}
        del group["maximize"]

    for checkpoint in run.checkpoints.glob("step-*"):
        resealed(checkpoint, change)
    outcome = dltrain("resume=run", "epochs=3")
    assert outcome.code == 0, outcome.err


def test_averages_that_are_laid_out_otherwise_are_laid_out_anew(dltrain, tmp_path, run):
    shutil.copytree(run.path, tmp_path / "other", symlinks=True)
    for checkpoint in (tmp_path / "other" / "checkpoints").glob("step-*"):
        resealed(checkpoint, lambda state: set_all(state, "exp_avg", lambda old: old.t().contiguous().t()))
    for name in ("run", "other"):
        assert dltrain(f"resume={name}", "epochs=3").code == 0
    metrics = [read_json(tmp_path / name / "summary.json")["test"] for name in ("run", "other")]
    assert metrics[0] == metrics[1]


def test_layers_in_another_order_are_refused(dltrain, tmp_path, own_model):
    net = NET.replace(
        "super().__init__(nn.Flatten(), nn.Linear(in_shape[0], out_features))",
        "super().__init__(); self.FIRST; self.SECOND\n    def forward(self, x): return self.b(self.a(x).relu())",
    ).replace("nn.Sequential", "nn.Module")
    a, b = "a = nn.Linear(in_shape[0], 4)", "b = nn.Linear(4, out_features)"
    (tmp_path / "mynet.py").write_text(net.replace("FIRST", a).replace("SECOND", b))
    mine = ("--config-dir", "conf", "data=iris", "model=mynet", "hydra.run.dir=run", *TINY[3:])
    assert dltrain(*mine, "epochs=1").code == 0
    (tmp_path / "mynet.py").write_text(net.replace("FIRST", b).replace("SECOND", a))
    forget_import(tmp_path)
    outcome = dltrain("resume=run", "epochs=2")
    assert outcome.code == 4
    assert "the model defines b.weight where it defined a.weight" in outcome.err


def test_weights_that_are_not_finite_are_not_answered_with(dltrain, run):
    from safetensors.torch import load_file, save

    (best,) = run.checkpoints.glob("best-*")
    weights = save({name: tensor * float("nan") for name, tensor in load_file(best / "model.safetensors").items()})
    (best / "model.safetensors").write_bytes(weights)
    about = json.loads((best / "checkpoint.json").read_text())
    del about["sha256"]
    about["files"]["model.safetensors"] = {"bytes": len(weights), "sha256": sealed.sha256(weights)}
    (best / "checkpoint.json").write_bytes(sealed.sealed(about))
    for command in (
        ("eval", "run=run"),
        ("export", "run=run", "format=safetensors"),
        ("predict", "run=run", "input=x"),
    ):
        outcome = dltrain(*command, "run=run")
        assert outcome.code == 4
        assert "not finite" in outcome.err


@pytest.mark.parametrize("name", ["../elsewhere/x", "/tmp/x", "a\nb", "..", "", ".hidden"])
def test_names_from_a_file_become_no_paths(dltrain, tmp_path, run, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").mkdir()
    write_json(run.summary, {"status": "finished", "names": {"model": name, "data": "y"}})
    edit(run.environment, lambda about: about["names"].update(model=name))
    before = {*tmp_path.rglob("*")}
    assert dltrain("export", "run=run", "format=safetensors").code == 0
    new = [path.relative_to(tmp_path) for path in {*tmp_path.rglob("*")} - before]
    assert all(len(path.parts) == 1 and not path.name.startswith(".") for path in new)


def test_a_second_resume_that_is_refused_writes_nothing(dltrain, tmp_path, run):
    from trainer.runs.lock import lock

    with lock(run.path):
        before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        assert dltrain("resume=run", "epochs=77", "log_every=3").code == 7
        assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("bomb", ["a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(3)), "deep"])
def test_a_config_that_stands_for_too_much_is_refused(dltrain, run, bomb):
    text = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"b{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
    text = "a: " + "[" * 100_000 if bomb == "deep" else text
    run.config.write_text(run.config.read_text() + text)
    start = time.monotonic()
    assert dltrain("eval", "run=run").code == 4
    assert dltrain("resume=run", "epochs=3").code == 4
    assert time.monotonic() - start < 20


def test_a_damaged_line_of_a_ledger_loses_one_event(dltrain, tmp_path):
    assert dltrain("-m", *TINY, "epochs=1", "seed=1,2", "hydra.sweep.dir=sweep").code == 0
    ledger = Ledger(tmp_path / "sweep")
    whole = ledger.jobs()
    lines = ledger.path.read_text().splitlines()
    for number, line in enumerate(lines):
        if json.loads(line)["event"] in ("started", "preflight"):
            damaged = [*lines[:number], line.replace(":", "", 1), *lines[number + 1 :]]
            ledger.path.write_text("\n".join(damaged) + "\n")
            assert ledger.num_damaged() == 1
            found = [sorted(job["overrides"]) for job in ledger.jobs().values()]
            assert found == [sorted(job["overrides"]) for job in whole.values()]
            assert find("sweep") == find("sweep")
            outcome = dltrain("compare", "sweep=sweep")
            assert outcome.code == 0, outcome.err
            assert "1 damaged line" in outcome.out
    assert dltrain("-m", "resume=sweep").code == 0


@pytest.mark.parametrize(
    "event",
    [
        {"event": "finished", "job": "x"},
        {"event": "finished", "job": -1, "objective": 1, "metric": "accuracy", "epoch": 1},
        {"event": "finished", "job": True, "objective": 1, "metric": "accuracy", "epoch": 1},
        {"event": "finished", "job": 7, "objective": [], "metric": "accuracy", "epoch": 1},
        {"event": "rung", "epoch": 1},
        {"event": []},
        [],
        "x",
    ],
)
def test_an_event_of_the_wrong_kind_is_ignored(tmp_path, event):
    ledger = Ledger(tmp_path)
    ledger.append("started", job=0, overrides=["seed=1"], hash="x")
    before = ledger.jobs()
    with ledger.path.open("a") as file:
        file.write(json.dumps(event | {"time": "2026-01-01"} if isinstance(event, dict) else event) + "\n")
    assert ledger.jobs() == before
    assert ledger.num_damaged() == 1


def test_errors_from_outside_have_codes():
    codes = {
        MemoryError(): 9,
        RuntimeError("DefaultCPUAllocator: can't allocate memory"): 9,
        OSError(28, "No space left on device", "x"): 6,
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"): 2,
        RecursionError(): 2,
        ValueError("embedded null byte"): 2,
    }
    assert {error: errors.known(error).code for error in codes} == codes
    assert errors.known(ValueError("other")) is None


def test_a_config_whose_component_is_a_word_is_one_line(dltrain, run):
    config = run.path / "config.yaml"
    config.write_text(re.sub(r"(?m)^optim:\n(  .*\n)+", "optim: adam\n", config.read_text()))
    for line in (["eval"], ["predict", "input=x.png"], ["explain"], ["export", "format=safetensors"], []):
        outcome = dltrain(*line, f"{'run' if line else 'resume'}={run.path}")
        assert (outcome.code, outcome.err.count("\n")) == (4, 1), outcome.err
        assert "optim: expected settings" in outcome.err
