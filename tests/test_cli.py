import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from trainer import cli


def read_rows(outcome):
    with (outcome.folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


FAST = ("data=synthetic_linear", "model=linear", "optim=sgd", "epochs=2")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("optim.lrr=0.1", 2, "unknown key optim.lrr; did you mean optim.lr?"),
        ("+optim.lrr=0.1", 2, "unknown key optim.lrr; did you mean optim.lr?"),
        ("++optim.lrr=0.1", 2, "did you mean optim.lr?"),
        ("epoch=3", 2, "did you mean epochs?"),
        ("+epoch=3", 2, "did you mean epochs?"),
        ("modl=resnet", 2, "did you mean model?"),
        ("model=resnt", 2, "no such model; did you mean resnet?"),
        ("optim.lr=abc", 2, "optim.lr is a number, got abc"),
        ("optim.lr=-1", 2, "Invalid learning rate: -1"),
        ("optim.lr=true", 2, "optim.lr is a number"),
        ("optim.lr=1,2", 2, "add -m"),
        ("data.batch_size=0", 2, "data.batch_size=0: expected a whole number of at least 1, or full"),
        ("data.batch_size=1.5", 2, "a whole number of at least 1, or full"),
        ("data.batch_size=ful", 2, "a whole number of at least 1, or full"),
        ("epochs=0", 2, "at least 1 (passes over the training split)"),
        ("epochs=2.5", 2, "epochs is a whole number"),
        ("ema=2", 2, "from 0 to 1"),
        ("precision=fp8", 2, "expected one of fp32, tf32, bf16, fp16"),
        ("device=gpu", 2, "expected auto, cpu, cuda, cuda:1 or mps"),
        ("seed=-1", 2, "from 0 to"),
        ("model=null", 2, "a run needs one"),
        ("~optim", 2, "a run needs one"),
        ("~optim.lr", 2, "taken away"),
        ("resnet", 2, "did you mean model=resnet?"),
        ("--epochs 3", 2, "did you mean epochs=...?"),
        ("--config-dir nowhere", 2, "no such folder"),
        ("model.hiden=[3] model=mlp", 2, "did you mean model.hidden?"),
        ("optim._target_=os.system", 2, "unknown key"),
        ("+hydra.callbacks.x._target_=os.system", 2, "nothing is instantiated there"),
        ("+hydra.job_logging.handlers.x.class=os.system", 2, "nothing is instantiated there"),
        ("hydra.launcher._target_=os.system", 2, "no launcher of Hydra's"),
        ("-m model=mlp,resnt", 2, "did you mean resnet?"),
        ("-m optim.lr=0.1,abc", 2, "optim.lr is a number, got abc"),
        ("data=diabetes", 2, "model=mlp fits"),
        ("data=diabetes model=logistic", 2, "model=linear fits"),
        ("loss=mse", 2, "it is for regression, and this data is multiclass; loss=auto fits"),
        ("data=diabetes model=mlp loss=cross_entropy", 2, "loss=auto fits"),
        ("data=diabetes model=mlp loss=bce", 2, "it is for binary"),
        ("monitor=acc", 2, "not measured; did you mean accuracy?"),
        ("metrics=[auc]", 2, "there are accuracy, f1"),
        ("data=csv", 2, "data.path is needed"),
        ("data=csv data.path=nowhere.csv data.target=y", 3, "nowhere.csv: no such file"),
        ("scheduler.warmup=-1", 2, "warmup=-1"),
        ("data.val_fraction=2", 2, "val_fraction=2 is not in [0, 1)"),
    ],
)
def test_a_mistake_gets_one_line_that_helps_and_leaves_no_run(dltrain, arguments, code, message):
    outcome = dltrain(*arguments.split())
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"dltrain: error[{code}]: ")
    assert outcome.folder is None or code == 3
    assert not outcome.folder or outcome.summary["status"] == "failed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
@pytest.mark.parametrize("argument", ["precision=fp16", "precision=tf32", "device=cuda", "device=cuda:1"])
def test_what_needs_cuda_is_never_changed_silently(dltrain, argument):
    outcome = dltrain(argument)
    assert outcome.code == 2
    assert argument in outcome.err
    assert "cpu" in outcome.err


def test_an_argument_that_the_yaml_does_not_mention_needs_no_plus(dltrain):
    outcome = dltrain(*FAST, "optim.nesterov=true", "optim.momentum=0.5", "+optim.maximize=false")
    assert outcome.code == 0
    assert OmegaConf.load(outcome.folder / "config.yaml").optim.nesterov is True


def test_a_run_is_a_folder_with_all_that_it_was(dltrain):
    outcome = dltrain(*FAST, "seed=3")
    assert outcome.code == 0, outcome.err
    found = {str(p.relative_to(outcome.folder)) for p in outcome.folder.rglob("*") if p.is_file()}
    assert {
        "config.yaml",
        "environment.json",
        "metrics.csv",
        "train.log",
        "summary.json",
        "checkpoints/best/model.safetensors",
        "checkpoints/last/model.safetensors",
        ".hydra/config.yaml",
    } <= found
    assert outcome.folder.name.endswith("-linear-synthetic_linear")
    assert OmegaConf.load(outcome.folder / "config.yaml").seed == 3
    environment = json.loads((outcome.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == version("torch")
    assert environment["command"][0] == "dltrain"
    rows = read_rows(outcome)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "80"), ("2", "160")]
    summary = outcome.summary
    assert summary["status"] == "finished"
    assert summary["best"].keys() == summary["test"].keys() == summary["baseline"].keys()
    assert summary["best"].keys() == {"loss", "mse", "rmse", "mae", "r2"}
    assert summary["run_dir"] == str(outcome.folder)
    assert summary["samples_per_s"] * summary["train_s"] == pytest.approx(1600)
    best = min(rows, key=lambda row: float(row["val/mse"]))
    assert summary["best"]["mse"] == float(best["val/mse"])
    log = (outcome.folder / "train.log").read_text()
    assert "     2/2 " in log
    assert "least squares" in log


def test_the_terminal_shows_data_model_folder_and_results(dltrain):
    out = dltrain("epochs=1", "limit_batches=3").out
    for expected in (
        "1,258 train, 180 validation, 359 test",
        "multiclass, 10 classes",
        "Conv2d",
        "(32, 8, 8)",
        "18,496",
        "tensorboard --logdir outputs",
        "     1/1 ",
        "majority class",
        "logistic regression",
        "samples/s",
        "summary.json",
    ):
        assert expected in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_the_best_weights_by_the_monitor_are_tested(dltrain, one_thread):
    outcome = dltrain("data=diabetes", "model=mlp", "epochs=30", "optim.lr=0.01", "scheduler=constant")
    rows = read_rows(outcome)
    best = min(rows, key=lambda row: float(row["val/mse"]))
    assert outcome.summary["best_epoch"] == int(best["epoch"]) < 30
    kept = load_file(outcome.folder / "checkpoints/best/model.safetensors")
    last = load_file(outcome.folder / "checkpoints/last/model.safetensors")
    assert any(not torch.equal(kept[name], last[name]) for name in kept)


@pytest.mark.parametrize(
    "arguments",
    [
        ("epochs=2", "limit_batches=20"),
        ("model=resnet", "epochs=1", "limit_batches=10", "ema=0.9", "clip=1", "accumulate=2"),
        ("data=diabetes", "model=mlp", "epochs=2", "optim=lbfgs"),
    ],
)
def test_two_runs_with_one_seed_and_one_thread_give_the_same_bits(dltrain, one_thread, arguments):
    first = dltrain(*arguments, "deterministic=true")
    second = dltrain(*arguments, "deterministic=true")
    other = dltrain(*arguments, "deterministic=true", "seed=1")
    a, b, c = (load_file(o.folder / "checkpoints/last/model.safetensors") for o in (first, second, other))
    assert first.folder != second.folder
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    assert first.summary["test"] == second.summary["test"]


def test_a_dry_run_goes_through_everything_and_leaves_nothing(dltrain, tmp_path):
    outcome = dltrain("dry_run=true", "epochs=50")
    assert outcome.code == 0, outcome.err
    assert "     1/1 " in outcome.out
    assert "test" in outcome.out
    assert not list(tmp_path.iterdir())
    assert dltrain("-m", "dry_run=true", "model=linear,mlp").code == 0
    assert not list(tmp_path.iterdir())


def test_a_named_folder_is_used_once(dltrain, tmp_path):
    where = tmp_path / "a folder, é=1 'q'"
    argument = "hydra.run.dir='" + str(where).replace("'", "\\'") + "'"
    assert dltrain(*FAST, argument).code == 0
    assert (where / "summary.json").exists()
    again = dltrain(*FAST, argument)
    assert again.code == 7
    assert "not empty" in again.err


def test_a_sweep_trains_every_combination_and_goes_on_after_a_failure(dltrain, tmp_path):
    outcome = dltrain("-m", *FAST, "optim.lr=0.01,-1,0.1", "optim.nesterov=false")
    assert outcome.code == 8
    assert "job 1" in outcome.err
    assert "optim.lr=-1" in outcome.err
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    states = [json.loads((sweep / str(n) / "summary.json").read_text())["status"] for n in range(3)]
    assert states == ["finished", "failed", "finished"]
    assert "Traceback" in (sweep / "1" / "train.log").read_text()


def test_overfitting_a_few_batches_uses_them_for_everything(dltrain):
    outcome = dltrain("overfit_batches=2", "epochs=40", "optim.lr=0.01")
    assert "64 train, 64 validation, 64 test" in outcome.out
    assert outcome.summary["best"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("arguments", "steps", "epochs"),
    [
        (("epochs=5", "max_steps=7"), 7, 1),
        (("epochs=5", "max_minutes=0"), 1, 1),
        (("epochs=50", "patience=2", "optim.lr=1e-12"), None, 3),
        (("epochs=2", "limit_batches=3"), 6, 2),
        (("epochs=1", "data.batch_size=full"), 1, 1),
        (("epochs=1", "accumulate=4"), 10, 1),
    ],
)
def test_a_run_ends_when_it_was_told_to(dltrain, arguments, steps, epochs):
    summary = dltrain("model=logistic", *arguments).summary
    assert summary["epochs"] == epochs
    assert steps is None or summary["steps"] == steps


@pytest.mark.parametrize(
    "arguments",
    [
        ("precision=bf16", "channels_last=true"),
        ("ema=0.9", "clip=0.5", "scheduler=one_cycle"),
        ("optim=adamw", "scheduler=constant", "scheduler.warmup=0.1", "loss.label_smoothing=0.1", "loss=cross_entropy"),
        ("monitor=loss", "metrics=[f1]"),
        ("monitor=loss", "metrics=accuracy", "deterministic=true"),
    ],
)
def test_knobs_work_together(dltrain, arguments):
    outcome = dltrain("epochs=4", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.summary["test"]["loss"] < 1.5 < outcome.summary["baselines"]["majority class"]["loss"]


def test_one_example_at_a_time_breaks_no_batch_norm(dltrain):
    assert dltrain("model=resnet", "data.batch_size=1257", "epochs=1", "limit_batches=2").code == 0


def test_a_loss_that_is_no_number_ends_the_run(dltrain):
    outcome = dltrain("data=diabetes", "model=linear", "optim=sgd", "optim.lr=1e30", "epochs=20")
    assert outcome.code == 5
    assert "optim.lr" in outcome.err
    assert outcome.summary["status"] == "failed"
    assert "Traceback" in (outcome.folder / "train.log").read_text()


def test_a_users_own_model_runs_from_their_folder(dltrain, tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, in_shape, out_features, width):\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Flatten(), nn.Linear(in_shape[1] * in_shape[2], width), nn.ReLU(),\n"
        "                                 nn.Linear(width, out_features))\n\n"
        "    def forward(self, x):\n"
        "        return self.net(x)\n"
    )
    (tmp_path / "conf" / "model" / "mynet.yaml").write_text("# my own\n_target_: mynet.Net\nwidth: 16\n")
    outcome = dltrain("--config-dir", "conf", "model=mynet", "epochs=2", "model.width=32")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["num_parameters"] == 64 * 32 + 32 + 330
    assert "my own" in dltrain("--config-dir", "conf", "--help").out
    assert "did you mean mynet" in dltrain("--config-dir", "conf", "model=mynett").err
    sys.modules.pop("mynet")


def test_a_torchvision_model_needs_a_yaml_alone(dltrain, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "tiny.yaml").write_text("_target_: torchvision.models.squeezenet1_1\n")
    outcome = dltrain("--config-dir", "conf", "model=tiny", "data=mnist", "dry_run=true", f"data.root={tmp_path}/none")
    assert outcome.code == 3  # it gets as far as the data
    assert "put the four files" in outcome.err


def test_a_table_of_ones_own(dltrain, tmp_path):
    rows = "".join(f"{i},{(i * 7) % 13},{3 * i - 2 * ((i * 7) % 13) + 5}\n" for i in range(120))
    (tmp_path / "my table.csv").write_text("a,b,y\n" + rows)
    outcome = dltrain("data=csv", "data.path='my table.csv'", "data.target=y", "model=linear", "optim=lbfgs")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["learned"]["w"] == pytest.approx([3, -2], rel=1e-3)
    assert outcome.summary["learned"]["b"] == pytest.approx([5], rel=1e-2)


def test_help_lists_groups_options_and_knobs_with_a_line_each(dltrain):
    out = dltrain("--help").out
    for expected in (
        "model=",
        "resnet",
        "data=",
        "mnist",
        "optim=",
        "lbfgs",
        "epochs=10",
        "passes over the training split",
    ):
        assert expected in out


def test_cfg_prints_the_whole_config(dltrain):
    cfg = OmegaConf.create(dltrain("--cfg", "job", "model=mlp", "epochs=3").out)
    assert cfg.epochs == 3
    assert cfg.model._target_ == "trainer.models.mlp.MLP"


def test_flags_may_stand_anywhere(dltrain):
    assert "epochs: 3" in dltrain("epochs=3", "--cfg", "job", "model=mlp").out


def test_completion_knows_the_options(tmp_path):
    environment = os.environ | {"COMP_LINE": "dltrain model=res", "COMP_POINT": "17"}
    done = subprocess.run(
        [sys.executable, "-m", "trainer.cli", "--shell-completion", "query=bash"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["model=resnet"], done.stderr


def test_an_interrupted_run_says_so(tmp_path):
    command = [sys.executable, "-m", "trainer.cli", "model=mlp", "epochs=100000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "epoch" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "dltrain: error[130]: interrupted\n"
    (folder,) = tmp_path.glob("outputs/2*/*")
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    command = f"{sys.executable} -m trainer.cli model=logistic epochs=200 | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("dltrain ")
    assert done.stderr == ""


def test_quoting_survives_hydras_grammar():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for text in ("a b", "it's", 'say "x"', "a=b,c", "x\\", "é{1}", "[0]"):
        (override,) = OverridesParser.create().parse_overrides([f"k={cli._quoted(text)}"])
        assert override.value() == text


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(tmp_path):
    from trainer.run import create

    start = time.monotonic()
    folders = {create(tmp_path / "day" / "run") for _ in range(20)}
    assert len(folders) == 20
    assert time.monotonic() - start < 1
