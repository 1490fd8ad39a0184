import contextlib
import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from trainer.cli.help import usage
from trainer.config import keys
from trainer.config.schema import CONF, groups
from trainer.files import read_yaml


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
        ("model=resnt", 2, "no such model; did you mean resnet or resnet18?"),
        ("optim.lr=abc", 2, "optim.lr must be a finite number, got abc"),
        ("optim.lr=-1", 2, "Invalid learning rate: -1"),
        ("optim.lr=true", 2, "optim.lr must be a finite number"),
        ("optim.lr=1,2", 2, "add -m"),
        ("evl run=last", 2, "did you mean dltrain eval?"),
        ("data.batch_size=0", 2, "data.batch_size=0: expected a whole number of at least 1, or full"),
        ("data.batch_size=1.5", 2, "a whole number of at least 1, or full"),
        ("data.batch_size=ful", 2, "a whole number of at least 1, or full"),
        ("epochs=0", 2, "at least 1 (passes over the training split)"),
        ("epochs=2.5", 2, "epochs must be a whole number"),
        ("ema=2", 2, "at least 0 and below 1"),
        ("precision=fp8", 2, "expected one of fp64, fp32, tf32, bf16, fp16"),
        ("device=gpu", 2, "expected auto, cpu, cuda, cuda:1 or mps"),
        ("seed=-1", 2, "at least 0 and at most 2147483647"),
        ("optim.lr=inf", 2, "optim.lr must be a finite number"),
        pytest.param(f"optim.lr=1{'0' * 400}", 2, "optim.lr must be a finite number", id="a number of 400 digits"),
        pytest.param(f"max_steps=1{'0' * 400}", 2, "max_steps must be a whole number", id="as many steps"),
        ("max_steps=1.5", 2, "a whole number of at least 1"),
        ("clip=0", 2, "a number above 0"),
        ("metrics=null", 2, "choose from accuracy, auc"),
        ("metrics=3", 2, "choose from accuracy, auc"),
        ("model=mlp model.hidden=[-3]", 2, "model: MLP: "),
        ("model=resnet model.widths=[]", 2, "model: ResNet: "),
        ("model=resnet data.batch_size=1", 2, "more than 1 value per channel"),
        ("data.val_fraction=-1", 2, "val_fraction=-1 is not between 0 and 1"),
        ("data=synthetic_linear data.noise=-1", 2, "a noise of at least 0"),
        ("hydra/launcher=null", 2, "hydra/launcher is required"),
        ("-m optim.lr=interval(0.1,1)", 2, "list some"),
        ("-m dry_run=true,false", 2, "give it one value"),
        ("hydra.job.env_set.PATH=x", 2, "env_set"),
        ("model=null", 2, "model is required"),
        ("~optim", 2, "optim is required"),
        ("~optim.lr", 2, "optim.lr cannot be deleted"),
        ("resnet", 2, "did you mean model=resnet?"),
        ("--epochs 3", 2, "did you mean epochs=...?"),
        ("--config-dir nowhere", 2, "no such folder"),
        ("model.hiden=[3] model=mlp", 2, "did you mean model.hidden?"),
        ("optim._target_=os.system", 2, "unknown key"),
        ("+hydra.callbacks.x._target_=os.system", 2, "hydra.callbacks cannot be overridden"),
        ("+hydra.job_logging.handlers.x.class=os.system", 2, "hydra.job_logging cannot be overridden"),
        ("hydra.launcher._target_=os.system", 2, "hydra.launcher: os.system has no preset"),
        ("-m model=mlp,resnt", 2, "did you mean resnet or resnet18?"),
        ("-m optim.lr=0.1,abc", 2, "optim.lr must be a finite number, got abc"),
        ("data=diabetes model=simple_cnn", 2, "use model=mlp"),
        ("data=diabetes model=logistic", 2, "use model=linear"),
        ("loss=mse", 2, "it is for regression, and this data is multiclass; use loss=auto"),
        ("data=diabetes model=mlp loss=cross_entropy", 2, "use loss=auto"),
        ("data=diabetes model=mlp loss=bce", 2, "it is for binary"),
        ("monitor=acc", 2, "not measured; did you mean accuracy?"),
        ("metrics=[f1]", 2, "'f1' is not available for multiclass; did you mean f1_macro?"),
        ("data=csv", 2, "data.path is required"),
        ("data=csv data.path=nowhere.csv data.target=y", 3, "nowhere.csv: no such file"),
        ("scheduler.warmup=-1", 2, "warmup=-1"),
        ("data.val_fraction=2", 2, "val_fraction=2 is not between 0 and 1"),
        ("accumulate=99999999999999999999", 2, "expected at most 2147483647 (batches per update)"),
        ("limit_batches=1e30", 2, "expected at most 2147483647"),
        ("data.batch_size=99999999999999999999", 2, "expected a whole number"),
        ("augment.noise=inf", 2, "at least 0 and at most 1000"),
        ("augment.rotation=inf", 2, "at least 0 and at most 360"),
        ("hydra.run.dir=${nope}", 2, "hydra.run.dir: Interpolation key 'nope' not found"),
        ("--shell-completion", 2, "Expecting one subcommand"),
        ("--cfg job --package nope", 2, "package 'nope' not found"),
        ("--cfg job --info all", 2, "Only one of"),
    ],
)
def test_a_mistake_gets_one_helpful_line_and_leaves_no_run(dltrain, arguments, code, message):
    outcome = dltrain(*arguments.split())
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"dltrain: error[{code}]: ")
    assert outcome.folder is None or code == 3
    assert not outcome.folder or outcome.summary["status"] == "failed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")
@pytest.mark.parametrize("argument", ["precision=fp16", "precision=tf32", "device=cuda", "device=cuda:1"])
def test_settings_that_need_cuda_are_refused_without_it(dltrain, argument):
    outcome = dltrain(argument)
    assert outcome.code == 2
    assert argument in outcome.err
    assert "cpu" in outcome.err


def test_an_argument_missing_from_the_yaml_needs_no_plus(dltrain):
    outcome = dltrain(*FAST, "optim.nesterov=true", "optim.momentum=0.5", "+optim.maximize=false")
    assert outcome.code == 0
    assert OmegaConf.load(outcome.folder / "config.yaml").optim.nesterov is True


def test_a_run_records_everything_in_its_folder(dltrain):
    outcome = dltrain(*FAST, "seed=3", "baselines=auto")
    assert outcome.code == 0, outcome.err
    found = {str(p.relative_to(outcome.folder)) for p in outcome.folder.rglob("*") if p.is_file()}
    assert {
        "config.yaml",
        "environment.json",
        "metrics.csv",
        "train.log",
        "summary.json",
        ".hydra/config.yaml",
    } <= found
    assert (outcome.folder / "checkpoints" / "best" / "model.safetensors").is_file()
    assert {file.name for file in (outcome.folder / "checkpoints" / "last").iterdir()} == {
        "model.safetensors",
        "state.pt",
        "checkpoint.json",
        "data.json",
    }
    assert outcome.folder.name.endswith("-linear-synthetic_linear")
    assert OmegaConf.load(outcome.folder / "config.yaml").seed == 3
    environment = json.loads((outcome.folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == version("torch")
    assert environment["command"] == ["dltrain", *FAST, "seed=3", "baselines=auto", "plots=off", "tensorboard=basic"]
    rows = read_rows(outcome)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "80"), ("2", "160")]
    summary = outcome.summary
    assert summary["status"] == "finished"
    assert summary["best"].keys() == summary["test"].keys() == summary["baseline"].keys()
    assert summary["best"].keys() == {"loss", "rmse", "mae", "r2"}
    assert summary["test_interval"].keys() == summary["test"].keys()
    assert all(low < summary["test"][name] < high for name, (low, high) in summary["test_interval"].items())
    assert summary["run_dir"] == str(outcome.folder)
    assert summary["samples_per_s"] * summary["train_s"] == pytest.approx(1600)
    best = min(rows, key=lambda row: float(row["val/rmse"]))
    assert summary["best"]["rmse"] == float(best["val/rmse"])
    log = (outcome.folder / "train.log").read_text()
    assert "     2/2 " in log
    assert "least squares" in log


def test_the_terminal_shows_data_model_folder_and_results(dltrain):
    out = dltrain("epochs=1", "limit_batches=3", "baselines=auto").out
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


def test_the_best_weights_by_the_monitor_are_kept_for_the_test(dltrain, one_thread):
    outcome = dltrain("data=diabetes", "model=mlp", "epochs=30", "optim.lr=0.01", "scheduler=constant")
    rows = read_rows(outcome)
    best = min(rows, key=lambda row: float(row["val/rmse"]))
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
def test_two_runs_with_the_same_seed_and_one_thread_are_bit_identical(dltrain, one_thread, arguments):
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


def test_a_named_folder_can_be_used_after_a_mistake(dltrain, tmp_path):
    assert dltrain("model=logistic", "loss=mse", "++hydra.run.dir=here").code == 2
    assert not (tmp_path / "here").exists()
    assert dltrain(*FAST, "++hydra.run.dir=here").code == 0
    assert (tmp_path / "here" / "summary.json").exists()
    assert dltrain(*FAST, "++hydra.run.dir=here").code == 7


@pytest.mark.parametrize("sweep", ["+epochs=1,2", "optim.nesterov=false,false", "optim=glob(s*)", "seed=range(2)"])
def test_sweeps_of_every_kind(dltrain, tmp_path, sweep):
    assert dltrain("-m", *FAST, "max_steps=2", sweep).code == 0
    jobs = [json.loads(f.read_text()) for f in tmp_path.glob("outputs/sweeps/*/*/*/summary.json")]
    assert len(jobs) == (1 if "glob" in sweep else 2)


def test_a_sweep_trains_every_combination_even_after_a_failure(dltrain, tmp_path):
    outcome = dltrain("-m", *FAST, "optim.lr=0.01,-1,0.1", "optim.nesterov=false")
    assert outcome.code == 8
    assert "job 1  optim.lr=-1  failed" in outcome.out
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
def test_a_run_stops_when_it_should(dltrain, arguments, steps, epochs):
    summary = dltrain("model=mlp", *arguments).summary
    assert summary["epochs"] == epochs
    assert steps is None or summary["steps"] == steps


@pytest.mark.parametrize(
    "arguments",
    [
        ("precision=bf16", "channels_last=true"),
        ("ema=0.9", "clip=0.5", "scheduler=one_cycle"),
        ("optim=adamw", "scheduler=constant", "scheduler.warmup=0.1", "loss.label_smoothing=0.1", "loss=cross_entropy"),
        ("monitor=loss", "metrics=[f1_macro]"),
        ("monitor=loss", "metrics=accuracy", "deterministic=true"),
    ],
)
def test_knobs_work_together(dltrain, arguments):
    outcome = dltrain("epochs=4", *arguments, "baselines=auto")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["test"]["loss"] < 1.5 < outcome.summary["baselines"]["majority class"]["loss"]


def test_a_last_batch_of_one_example_does_not_break_batch_norm(dltrain):
    assert dltrain("model=resnet", "data.batch_size=1257", "epochs=1", "limit_batches=2").code == 0


def test_a_non_finite_loss_fails_the_run(dltrain):
    outcome = dltrain("data=diabetes", "model=linear", "optim=sgd", "optim.lr=1e30", "epochs=20")
    assert outcome.code == 5
    assert "optim.lr" in outcome.err
    assert outcome.summary["status"] == "failed"
    assert "Traceback" in (outcome.folder / "train.log").read_text()


@pytest.mark.parametrize("arguments", [("optim.lr=1e30", "max_steps=3"), ("optim.lr=1e30", "max_steps=1")])
def test_a_short_run_that_diverges_fails_or_reports_a_huge_loss(dltrain, arguments):
    outcome = dltrain("data=diabetes", "model=linear", "optim=sgd", "epochs=1", "data.batch_size=full", *arguments)
    assert outcome.code == 5 or outcome.summary["best"]["loss"] > 1e30


def test_classes_that_are_missing_from_training_do_not_break_the_baseline(dltrain):
    outcome = dltrain("data.batch_size=4", "overfit_batches=1", "epochs=1", "baselines=auto")
    assert outcome.code == 0, outcome.err
    assert "logistic regression" in outcome.summary["baselines"]


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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('width')", "KeyError: 'width' (broken.py, line"),
        ("super().__init__(); self.layer = nn.Linear(3, 3)", "does not read inputs of shape (1, 8, 8): RuntimeError"),
        ("super().__init__(); self.layer = nn.Flatten()", "returns (64,) per example; this data needs (10,)"),
        ("super().__init__(); self.layer = lambda x: (x, x)", "returns tuple per example"),
        ("syntax error", "SyntaxError"),
    ],
)
def test_an_error_in_a_users_own_model_is_reported(dltrain, tmp_path, body, message):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "broken.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        f"    def __init__(self):\n        {body}\n\n"
        "    def forward(self, x):\n        return self.layer(x)\n"
    )
    (tmp_path / "conf" / "model" / "broken.yaml").write_text("_target_: broken.Net\n")
    outcome = dltrain("--config-dir", "conf", "model=broken")
    sys.modules.pop("broken", None)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_users_own_dataset_and_loss(dltrain, tmp_path):
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "loss").mkdir()
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom trainer.data.tensors import DataSpec, Examples, Splits\n\n\n"
        "def data(seed, slope):\n"
        "    x = torch.linspace(-1, 1, 60)[:, None]\n"
        "    part = Examples(x, slope * x)\n"
        "    return Splits(part, part, part), DataSpec('regression', (1,), feature_names=('x',))\n\n\n"
        "def loss(outputs, targets, power):\n"
        "    return (outputs - targets).abs().pow(power).mean()\n"
    )
    (tmp_path / "conf" / "data" / "mine.yaml").write_text("_target_: mine.data\nslope: 2.0\nbatch_size: 10\n")
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("_target_: mine.loss\npower: 2\n")
    options = ("data=mine", "loss=mine", "model=linear", "optim=sgd", "optim.lr=0.3", "epochs=20", "data.slope=3")
    outcome = dltrain("--config-dir", "conf", *options)
    sys.modules.pop("mine", None)
    assert outcome.code == 0, outcome.err
    assert outcome.summary["learned"]["w"] == pytest.approx([3], abs=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# @package _global_\nepoch: 3\n", "unknown key epoch in experiment/bad.yaml; did you mean epochs?"),
        ("# @package _global_\nepochs: many\n", "many"),
        ("# @package _global_\nprecision: fp8\n", "expected one of fp64"),
        ("# @package _global_\noptim: {lr: abc}\n", "abc"),
        ("# @package _global_\noptim: {lrr: 0.1}\n", "did you mean lr?"),
        ("# @package _global_\noptim: {1: 2}\n", "no such argument"),
        ("# @package _global_\na: [\n", "bad.yaml"),
        ("# @package _global_\ndata: {batch_size: 0}\n", "a whole number of at least 1, or full"),
    ],
)
def test_a_mistake_in_a_yaml_is_reported(dltrain, tmp_path, text, message):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "bad.yaml").write_text(text)
    outcome = dltrain("--config-dir", "conf", "experiment=bad")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_command_line_overrides_an_experiment(dltrain, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# mine\ndefaults:\n  - override /model: mlp\nepochs: 2\noptim: {lr: 0.5}\n"
    )
    cfg = OmegaConf.create(dltrain("--config-dir", "conf", "experiment=mine", "epochs=7", "--cfg", "job").out)
    assert (cfg.epochs, cfg.optim.lr, cfg.model._target_) == (7, 0.5, "trainer.models.mlp.MLP")


def test_the_command_line_can_turn_on_what_an_experiment_turns_off(dltrain):
    cfg = OmegaConf.create(dltrain("experiment=mnist_fast", "plots=all", "--cfg", "job").out)
    assert cfg.plots == "all"


def test_a_users_file_cannot_shadow_a_built_in_option(dltrain, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mlp.yaml").write_text("_target_: trainer.models.mlp.MLP\n")
    assert "would shadow the built-in model=mlp; rename it" in dltrain("--config-dir", "conf", "model=mlp").err


HOSTILE_YAMLS = [
    "hydra: {callbacks: {x: {_target_: os.system, command: touch canary}}}",
    "hydra: {callbacks: {x: '${payload}'}}\npayload: {_target_: os.system}",
    "hydra: {callbacks: {x: '${data.payload}'}}\ndata: {payload: {_target_: os.system, command: touch canary}}",
    "hydra: {launcher: {_target_: os.system, command: touch canary}}",
    "hydra: {sweeper: {_target_: hydra.utils.call}}",
    "hydra: {launcher: '${data.payload}'}\ndata: {payload: {_target_: os.system}}",
    "hydra: {job_logging: {handlers: {file: {filename: canary}}}}",
    "hydra: {job_logging: {formatters: {plain: {format: touch canary}}}}",
    "hydra: {job_logging: {handlers: {file: {(): os.system}}}}",
    "hydra: {job_logging: {handlers: {file: '${data.payload}'}}}\ndata: {payload: {(): os.system}}",
    "hydra: {hydra_logging: {handlers: {console: {class: os.system}}}}",
    "hydra: {job: {env_set: {GIT_CONFIG_COUNT: '1', LD_PRELOAD: canary}}}",
    "model: {_target_: os.system, command: touch canary}",
    "model: {_target_: subprocess.getoutput, cmd: touch canary}",
    "data: {_target_: subprocess.getoutput, cmd: touch canary, batch_size: 1}",
    "optim: {_partial_: true}",
    "loss: {_args_: [touch canary], _target_: os.system}",
    "scheduler: {warmup: {_target_: os.system, command: touch canary}}",
]


@pytest.mark.parametrize("text", HOSTILE_YAMLS)
@pytest.mark.parametrize("multirun", [[], ["-m"]])
def test_a_hostile_yaml_runs_nothing(dltrain, tmp_path, monkeypatch, text, multirun):
    monkeypatch.setenv("HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE", "*")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "evil.yaml").write_text("# @package _global_\n" + text + "\n")
    outcome = dltrain("--config-dir", "conf", *multirun, "experiment=evil")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.rglob("canary"))


def test_a_torchvision_model_needs_only_a_yaml(dltrain, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "tiny.yaml").write_text("_target_: torchvision.models.squeezenet1_1\n")
    outcome = dltrain("--config-dir", "conf", "model=tiny", "data=mnist", "dry_run=true", f"data.root={tmp_path}/none")
    assert outcome.code == 3  # it gets as far as the data
    assert "put the four files" in outcome.err


def test_a_users_own_table(dltrain, tmp_path):
    rows = "".join(f"{i},{(i * 7) % 13},{3 * i - 2 * ((i * 7) % 13) + 5}\n" for i in range(120))
    (tmp_path / "my table.csv").write_text("a,b,y\n" + rows)
    outcome = dltrain("data=csv", "data.path='my table.csv'", "data.target=y", "model=linear", "optim=lbfgs")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["learned"]["w"] == pytest.approx([3, -2], rel=1e-3)
    assert outcome.summary["learned"]["b"] == pytest.approx([5], rel=1e-2)


def test_binary_classification_monitored_by_auc(dltrain, tmp_path):
    rows = "".join(f"{i % 17},{i % 5},{int(i % 17 > 7)}\n" for i in range(200))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    outcome = dltrain("data=csv", "data.path=t.csv", "data.target=y", "model=logistic", "monitor=auc", "optim=lbfgs")
    assert outcome.code == 0, outcome.err
    assert "binary, 2 classes" in outcome.out
    assert outcome.summary["test"].keys() == {"loss", "accuracy", "f1", "auc"}
    assert outcome.summary["test"]["auc"] > 0.99


def test_help_lists_groups_options_and_knobs(dltrain):
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


@pytest.mark.parametrize(("slot", "option"), [(slot, option) for slot in keys.SLOTS for option in groups()[slot]])
def test_help_of_a_part_lists_what_its_yaml_sets(slot, option):
    config = read_yaml(CONF / slot / f"{option}.yaml")
    settings = config.get(slot, config).keys() - {"_target_"}
    assert settings <= {*re.findall(rf"^  {slot}\.(\w+)=", usage(["--help", f"{slot}={option}"]), re.MULTILINE)}


def test_cfg_prints_the_whole_config(dltrain):
    cfg = OmegaConf.create(dltrain("--cfg", "job", "model=mlp", "epochs=3").out)
    assert cfg.epochs == 3
    assert cfg.model._target_ == "trainer.models.mlp.MLP"


def test_flags_may_come_anywhere(dltrain):
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
    assert done.stdout.split() == ["model=resnet", "model=resnet18"], done.stderr


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_is_saved_and_says_so_in_one_line(tmp_path, number, code, said):
    command = [sys.executable, "-m", "trainer.cli", "model=mlp", "epochs=100000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "epoch" in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.startswith(f"dltrain: error[{code}]: {said} in epoch ")
    assert "and saved; continue with dltrain resume=outputs/" in err
    assert err.count("\n") == 1
    (folder,) = tmp_path.glob("outputs/2*/*")
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"


def test_a_terminal_shows_a_bar_and_keeps_the_rows(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "trainer.cli", "epochs=4", "device=cpu"]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # raised when the terminal closes
        while part := os.read(ours, 65536):
            shown += part
    assert process.wait(timeout=60) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"epoch [1-4]/4 .*/160 loss \d\.\d+ .*samples/s", text)
    assert re.search(r"[\r\n] +4/4 +\d\.\d+ ", text)


@pytest.mark.slow  # tests/engine/test_compiled.py compares without a process
def test_a_compiled_model_learns_the_same(tmp_path):
    results = []
    for knob in ("compile=true", "compile=false"):
        command = [sys.executable, "-m", "trainer.cli", *FAST, knob, "device=cpu", f"hydra.run.dir=run-{knob[8:]}"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        results.append(json.loads((tmp_path / f"run-{knob[8:]}" / "summary.json").read_text())["learned"]["w"])
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_a_run_continues_when_the_reader_of_its_output_is_gone(tmp_path):
    run = f"{sys.executable} -m trainer.cli model=logistic epochs=2 hydra.run.dir=run"
    # The sleep makes sure that the reader is gone before anything is written.
    command = f"{{ sleep 0.3; {run}; echo $? > code; }} | :"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert (tmp_path / "code").read_text() == "0\n"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"
    assert "best weights" in (tmp_path / "run" / "train.log").read_text()


def test_help_exits_silently_when_its_reader_is_gone():
    command = f"{{ sleep 0.3; {sys.executable} -m trainer.cli --help; }} | :; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_quoting_survives_hydras_grammar():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for text in ("a b", "it's", 'say "x"', "a=b,c", "x\\", "é{1}", "[0]"):
        (override,) = OverridesParser.create().parse_overrides([f"k={keys.quoted(text)}"])
        assert override.value() == text


def test_runs_that_start_in_the_same_second_get_separate_folders(tmp_path):
    from trainer.runs.folder import create

    start = time.monotonic()
    folders = {create(tmp_path / "day" / "run") for _ in range(20)}
    assert len(folders) == 20
    assert time.monotonic() - start < 1
