"""Resuming is bit-exact, and the tests notice any state that is not restored."""

import csv
import errno
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from resuming import before_batch, different, end_of

from trainer.config.schema import groups
from trainer.data.tensors import BatchLoader
from trainer.engine import numerics
from trainer.engine.meter import Best, Meter
from trainer.engine.stopping import Watched
from trainer.engine.update import Update
from trainer.runs import folder as run_folder
from trainer.runs import saver
from trainer.runs.lock import lock

TINY = ["data=digits", "model=mlp", "model.hidden=[16]", "limit_batches=6", "epochs=3", "checkpoint.min_seconds=0"]
TINY += ["deterministic=true"]  # a GPU adds up in another order each time
SEARCHES = [name for name in groups()["optim"] if name.endswith("_search")]
CASES = {
    "dropout": ["model.dropout=0.5"],
    "batch norm": ["model.batch_norm=true"],
    "average": ["ema=0.9"],
    "accumulate and clip": ["accumulate=4", "clip=0.5", "optim=sgd", "optim.momentum=0.9"],
    "convolutions": ["model=simple_cnn", "~model.hidden", "data.batch_size=16"],
    "residual": ["model=resnet", "model.widths=[8]", "data.batch_size=8"],
    "augmentation": [
        "model=simple_cnn",
        "augment.shift=1",
        "augment.rotation=9",
        "augment.noise=0.1",
        "augment.mixup=1",
    ],
    "gru": ["model=gru", "model.hidden=8", "model.dropout=0.3"],
    "line search": ["optim=lbfgs", "optim.max_iter=3", "data.batch_size=100"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "optim.lr=0.05"],
    **{name: [f"optim={name}"] for name in groups()["optim"]},
    **{name: [f"optim={name}", "model=linear", "data=synthetic_linear"] for name in SEARCHES},
}


def overrides_of(case):
    """Return the overrides of the tiny run with those of a case; `hidden` is only for the default model."""
    changes = CASES[case]
    base = [o for o in TINY if not (o.startswith("model") and any(c.startswith("model=") for c in changes))]
    return base + [c for c in changes if not c.startswith("~")]


@pytest.fixture
def stop_at(monkeypatch):
    """Send a signal to this process before the n-th batch, counting all splits."""

    def arm(batch, number=signal.SIGTERM):
        iterate = Watched.__iter__
        monkeypatch.setattr(Watched, "__iter__", before_batch(batch, lambda: os.kill(os.getpid(), number)))
        return lambda: monkeypatch.setattr(Watched, "__iter__", iterate)

    return arm


def interrupted(dltrain, stop_at, batch, *overrides):
    """Stop a run before that batch, resume it, and return its end."""
    disarm = stop_at(batch)
    stopped = dltrain(*overrides)
    disarm()
    assert stopped.code == 143, stopped.err
    assert stopped.summary["status"] == "interrupted"
    assert f"dltrain resume=outputs/{stopped.folder.parent.name}/{stopped.folder.name}" in stopped.err
    went_on = dltrain("resume=last")
    assert went_on.code == 0, went_on.err
    assert went_on.folder == stopped.folder
    assert went_on.summary["status"] == "finished"
    return end_of(went_on.folder)


@pytest.mark.parametrize("case", CASES)
def test_resuming_is_bit_exact(dltrain, stop_at, one_thread, case):
    overrides = overrides_of(case)
    reference = end_of(dltrain(*overrides).folder)
    batch = 3 if case in ("lbfgs", "rprop", *SEARCHES) else 10
    assert different(interrupted(dltrain, stop_at, batch, *overrides), reference) == []


@pytest.mark.parametrize("batch", [1, 2, 6, 7, 8, 9, 13, 14, 20, 21])
def test_resuming_is_bit_exact_wherever_the_run_was_interrupted(dltrain, stop_at, one_thread, batch):
    """An epoch has six training batches and one of validation; the first is drawn once more before the first epoch."""
    overrides = [*overrides_of("dropout"), "checkpoint.every_steps=4"]
    reference = end_of(dltrain(*overrides).folder)
    assert different(interrupted(dltrain, stop_at, batch, *overrides), reference) == []


@pytest.fixture
def own_files(tmp_path):
    """Write texts and images; return overrides to train on them."""
    (tmp_path / "text.csv").write_text("".join(f"{'ab' * (i % 5 + 1)}{i % 3},{i % 3}\n" for i in range(90)))
    for number in range(40):
        folder = tmp_path / "images" / ("odd", "even")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shade = number * 6
        Image.new("L", (8, 8), shade).save(folder / f"{number}.png")
    images = [f"data.path={tmp_path}/images", "data=image_folder", "model=simple_cnn", "data.batch_size=4"]
    return {
        "text": [
            "data=text",
            f"data.path={tmp_path}/text.csv",
            "model=gru",
            "model.bidirectional=true",
            "data.batch_size=8",
        ],
        "images": [*images, "data.workers=0"],
        "images by workers": [*images, "data.workers=2"],
    }


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("case", ["text", "images", "images by workers"])
def test_resuming_continues_reading_files_where_it_stopped(dltrain, stop_at, one_thread, own_files, case):
    overrides = [*own_files[case], "epochs=2", "model.dropout=0.3", "checkpoint.min_seconds=0"]
    reference = end_of(dltrain(*overrides).folder)
    assert different(interrupted(dltrain, stop_at, 11, *overrides), reference) == []


LEFT_OUT = {
    "random state": (saver, "set_random_state", lambda state: None),
    "position in the data": (BatchLoader, "set_epoch", None),
    "optimizer": (torch.optim.Optimizer, "load_state_dict", lambda self, state: None),
    "schedule": (saver, None, "scheduler"),
    "training metrics": (Meter, "load_state_dict", lambda self, state, device: None),
    "best": (Best, "load_state_dict", lambda self, state: None),
}


@pytest.mark.parametrize("item", LEFT_OUT)
def test_state_that_is_not_restored_is_noticed(dltrain, stop_at, one_thread, monkeypatch, item):
    overrides = [*overrides_of("dropout"), *(["optim=sgd", "optim.lr=1e-9"] if item == "best" else [])]
    reference = end_of(dltrain(*overrides).folder)
    owner, name, instead = LEFT_OUT[item]
    disarm = stop_at(10)
    assert dltrain(*overrides).code == 143
    disarm()
    if item == "position in the data":
        instead = lambda self, epoch, start=0: setattr(self, "epoch", epoch)  # noqa: E731
    if item == "schedule":
        restore = Update.load_state_dict
        owner, name = Update, "load_state_dict"

        def instead(self, state):
            before = self.scheduler.state_dict()
            restore(self, state)
            self.scheduler.load_state_dict(before)

    monkeypatch.setattr(owner, name, instead)
    outcome = dltrain("resume=last")
    assert outcome.code == 0, outcome.err
    assert different(end_of(outcome.folder), reference) != []


def test_patience_is_resumed(dltrain, stop_at, one_thread):
    overrides = [*overrides_of("dropout"), "optim=sgd", "optim.lr=1e-9", "epochs=9", "patience=3"]
    reference = dltrain(*overrides)
    assert reference.summary["epochs"] == 4
    expected = end_of(reference.folder)
    assert different(interrupted(dltrain, stop_at, 17, *overrides), expected) == []


def test_the_random_state_covers_every_generator():
    numerics.seed_everything(3, deterministic=False)
    state = numerics.random_state()

    def draws():
        import random

        import numpy as np

        return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(1).item()]

    first = draws()
    assert draws() != first
    numerics.set_random_state(state)
    assert draws() == first


def test_a_finished_run_can_be_resumed_for_more_epochs(dltrain, one_thread):
    overrides = overrides_of("dropout")
    first = dltrain(*overrides)
    again = dltrain("resume=last", "epochs=5")
    assert again.folder == first.folder
    assert "epochs: 3 -> 5" in again.out
    assert again.summary["epochs"] == 5
    rows = (again.folder / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4", "5"]
    assert (
        dltrain(f"resume={first.folder}").out.strip().endswith("has already finished; pass epochs=10 to train longer")
    )


def test_resume_auto_resumes_with_the_command_that_started_the_run(dltrain, stop_at, one_thread):
    overrides = [*overrides_of("dropout"), "resume=auto"]
    reference = end_of(dltrain(*overrides).folder)
    disarm = stop_at(10)
    stopped = dltrain(*overrides)
    disarm()
    assert stopped.code == 143
    again = dltrain(*overrides)
    assert again.folder == stopped.folder
    assert different(end_of(again.folder), reference) == []
    assert dltrain(*overrides).folder != again.folder, "a finished run is not resumed"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("data.batch_size=16", "data.batch_size: 32 -> 16"),
        ("optim.lr=0.1", "optim.lr: 0.003 -> 0.1"),
        ("model=simple_cnn", "model._target_: trainer.models.mlp.MLP -> trainer.models.cnn.SimpleCNN"),
        ("seed=1", "seed: 0 -> 1"),
    ],
)
def test_changes_that_affect_results_are_refused_on_resume(dltrain, change, line):
    overrides = ["data=digits", "model=mlp", "limit_batches=2", "epochs=1"]
    folder = dltrain(*overrides).folder
    outcome = dltrain("resume=last", change)
    assert outcome.code == 4
    assert line in outcome.err
    assert (folder / "checkpoints" / "last").exists()


def table(name, rows):
    lines = [f"{row % 7},{row % 5},{row % 2}\n" for row in rows]
    Path(name).write_text("a,b,y\n" + "".join(lines))


def test_changed_data_is_refused_on_resume_before_anything_is_recorded(dltrain, one_thread):
    table("t.csv", range(60))
    command = ["data=csv", "data.path=t.csv", "data.target=y", "model=mlp", "plots=off", "tensorboard=off"]
    dltrain(*command, "epochs=1", "checkpoint.min_seconds=0", "hydra.run.dir=run")
    Path("t.csv").rename("moved.csv")
    moved = dltrain(*command, "resume=run", "data.path=moved.csv", "epochs=2")
    assert moved.code == 0, moved.err

    table("moved.csv", range(1, 61))
    files = [path for path in Path("run").rglob("*") if path.is_file() and path.name != ".lock"]
    assert {"train.log", "overrides.yaml", "environment.json"} <= {path.name for path in files}
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    refused = dltrain("resume=run", "epochs=3")
    assert refused.code == 3
    assert "has changed (splits: train, val, test)" in refused.err
    assert "changed_data=use" in refused.err
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == before
    assert {path for path in Path("run").rglob("*") if path.is_file() and path.name != ".lock"} == {*files}

    assert dltrain("resume=run", "epochs=3", "changed_data=use").code == 0
    assert "already finished" in dltrain("resume=run").out
    assert dltrain("resume=run", "epochs=4").code == 0  # the data is that of the last start
    table("moved.csv", range(2, 62))
    assert dltrain("resume=run", "epochs=5").code == 3  # and consent was for one start


def test_a_missing_run_is_named_with_the_last_one(dltrain):
    assert dltrain("resume=last").code == 4
    folder = dltrain(*overrides_of("dropout")).folder
    outcome = dltrain("resume=outputs/nowhere")
    assert outcome.code == 4
    assert "outputs/nowhere" in outcome.err
    assert folder.name in outcome.err


def test_two_processes_do_not_share_a_folder(dltrain):

    folder = dltrain(*overrides_of("dropout")).folder
    with lock(folder):
        outcome = dltrain("resume=last", "epochs=5")
    assert outcome.code == 7
    assert f"process {os.getpid()}" in outcome.err
    assert dltrain("resume=last", "epochs=5").code == 0


def test_damaged_checkpoints_are_skipped_with_a_warning(dltrain, one_thread):
    overrides = overrides_of("dropout")
    reference = end_of(dltrain(*overrides, "epochs=4").folder)
    folder = dltrain(*overrides).folder
    newest = (folder / "checkpoints" / "last" / "state.pt").resolve()
    newest.write_bytes(newest.read_bytes()[:-7])
    outcome = dltrain("resume=last", "epochs=4")
    assert "state.pt" in outcome.out
    assert "the checkpoint before it is used" in outcome.out
    assert outcome.code == 0
    assert len(outcome.summary["test"]) == len(reference["test"])
    for file in (folder / "checkpoints").glob("step-*/model.safetensors"):
        file.write_bytes(b"0" + file.read_bytes()[1:])
    outcome = dltrain("resume=last", "epochs=6")
    assert outcome.code == 4
    assert "all checkpoints are damaged" in outcome.err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's writer
def test_a_run_folder_deleted_during_training_is_reported(dltrain, monkeypatch):
    append = saver.Saver.end_of_epoch

    def gone(self, report, improved):
        import shutil

        shutil.rmtree(self.store.folder.parent)
        append(self, report, improved)

    monkeypatch.setattr(saver.Saver, "end_of_epoch", gone)
    outcome = dltrain(*overrides_of("dropout"))
    assert outcome.code == 6
    assert "No such file or directory" in outcome.err


@pytest.mark.parametrize("name", ["a b", "ру 数据", "x=y,z", "a" * 200, "it's", 'say "so"'])
def test_a_run_may_have_any_name(dltrain, tmp_path, one_thread, name):
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert dltrain(*TINY, "epochs=1", f"hydra.run.dir='runs/{quoted}'").code == 0
    again = dltrain("epochs=2", f"resume='runs/{quoted}'")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "runs" / name / "summary.json").read_text())["epochs"] == 2


def test_running_out_of_memory_suggests_a_smaller_batch_with_the_same_updates(dltrain, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("trainer.training.fit", full)
    outcome = dltrain("data.batch_size=32", "accumulate=2")
    assert outcome.code == 9
    assert "data.batch_size=16 accumulate=4 makes the same updates" in outcome.err


def test_error_messages_contain_no_control_characters(dltrain):
    outcome = dltrain("data=csv", "data.target=y", "data.path='\x1b[31mred.csv'")
    assert outcome.code == 3
    assert "\x1b" not in outcome.err
    assert "\\x1b[31mred.csv" in outcome.err


def test_a_metrics_row_that_cannot_be_written_does_not_stop_the_run(dltrain, monkeypatch):
    write, broken = csv.writer, []

    def half(file):
        class Writer:
            def writerows(self, rows):
                if len(broken) == 0 and file.tell():
                    broken.append(True)
                    file.write("2,80,0.")
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                write(file).writerows(rows)

        return Writer()

    monkeypatch.setattr("trainer.runs.folder.csv.writer", half)
    outcome = dltrain("model=logistic", "epochs=4")
    assert outcome.code == 0
    assert "logs are incomplete" in outcome.out
    assert [row["epoch"] for row in run_folder.MetricsFile(outcome.folder / "metrics.csv").rows()] == [1, 3, 4]


def test_results_are_saved_even_if_drawing_is_interrupted(dltrain, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.view.pictures.draw", interrupted)
    outcome = dltrain("model=logistic", "epochs=2", "plots=auto")
    assert outcome.code == 130
    assert outcome.summary["status"] == "finished"
    assert outcome.summary["test"]["accuracy"] > 0.5


def test_a_resumed_run_does_not_count_as_finished_until_its_end(dltrain, stop_at):
    outcome = dltrain("model=logistic", "epochs=1", "data.batch_size=100")
    assert outcome.summary["status"] == "finished"
    release = stop_at(5)
    assert dltrain("resume=last", "epochs=3").code == 143
    release()
    assert outcome.summary["status"] == "interrupted"
    assert dltrain("resume=auto", "model=logistic", "epochs=3", "data.batch_size=100").code == 0
    assert outcome.summary["epochs"] == 3
