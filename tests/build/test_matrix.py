"""Every model on every dataset that it can read, and the message on the others."""

import shutil
from itertools import product

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from trainer.build import parts
from trainer.build import update as build_update
from trainer.config import targets
from trainer.config.check import checked
from trainer.config.schema import groups
from trainer.engine.loop import full
from trainer.errors import ConfigError

READS = {  # of the built-in models, by hand; for an option added later, its class says
    "linear": {"features", "image"},
    "logistic": {"features", "image"},
    "mlp": {"features", "image"},
    "scratch": {"features", "image"},
    "simple_cnn": {"image"},
    "strided_cnn": {"image"},
    "googlenet": {"image"},
    "resnet": {"image"},
    "resnet18": {"image"},
    "rnn": {"image", "tokens"},
    "gru": {"image", "tokens"},
    "lstm": {"image", "tokens"},
}
NEEDS_FILES = {"boston", "pima", "mnist", "fashion_mnist", "names"}


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """Return overrides for the datasets made from user files."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "table.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 3},{i % 5}.5\n" for i in range(60)))
    (folder / "text.csv").write_text(
        "".join(f"{'ab' * (i % 4 + 1)}{i % 2},{['even', 'odd'][i % 2]}\n" for i in range(60))
    )
    for name, number in product(("dark", "light"), range(15)):
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        shade = 10 * number + (100 if name == "light" else 0)
        Image.new("RGB", (20, 30), (shade, number, 0)).save(folder / "images" / name / f"{number}.png")
    return {
        "csv": [f"data.path={folder}/table.csv", "data.target=y"],
        "text": [f"data.path={folder}/text.csv"],
        "image_folder": [f"data.path={folder}/images", "data.workers=0"],
    }


@pytest.fixture(scope="module")
def datasets(own_files, tmp_path_factory, request):
    """Return a function that makes each dataset's loaders, spec and overrides once."""
    made = {}

    def get(name):
        if name not in made:
            overrides = [f"data={name}", *own_files.get(name, [])]
            if name in NEEDS_FILES:
                real_data = request.getfixturevalue("real_data")
                root = tmp_path_factory.mktemp(name)
                for source, target in [("mnist_small/MNIST", "MNIST"), ("mnist_small/MNIST", "FashionMNIST")]:
                    shutil.copytree(real_data / source, root / target)
                for file in ("boston.csv", "pima_diabetes.csv", "names"):
                    (root / file).symlink_to(real_data / file)
                overrides.append(f"data.root={root}")
            cfg, _ = checked(overrides)
            made[name] = (*parts.data(cfg, torch.device("cpu")), overrides)
        return made[name]

    return get


def cell(datasets, model, name):
    if name == "cifar10":
        pytest.skip("its files are not available; test_images.py makes some")
    loaders, spec, overrides = datasets(name)
    cfg, _ = checked([*overrides, f"model={model}"])
    reads = READS.get(model) or getattr(targets.locate("model", cfg.model["_target_"]), "reads", {"image"})
    return cfg, loaders, spec, spec.kind in reads and not (model == "logistic" and spec.task == "regression")


CELLS = [(model, data) for model in groups()["model"] for data in groups()["data"]]


@pytest.mark.parametrize(("model", "name"), CELLS)
def test_a_model_learns_from_data_it_reads_or_suggests_another_model(datasets, model, name):
    cfg, loaders, spec, can_read = cell(datasets, model, name)
    inputs, targets = next(iter(loaders.train))
    inputs, targets = inputs[:8], targets[:8]
    if not can_read:
        with pytest.raises(ConfigError, match=r"^model: .*; use model=\w+$") as refusal:
            parts.model(cfg, spec, inputs[:2])
        other = str(refusal.value).rsplit("model=", 1)[1].split()[0]
        assert cell(datasets, other, name)[-1]
        return
    torch.manual_seed(0)
    net = parts.model(cfg, spec, inputs[:2])
    loss = parts.loss(cfg, spec, loaders.train.targets)
    update = build_update.update(cfg, net, 10, torch.amp.GradScaler("cpu", enabled=False))
    before = [p.detach().clone() for p in net.parameters()]
    net.train()
    outputs = full(net(inputs))
    assert outputs.shape == (len(inputs), spec.out_features)
    value = loss(outputs, targets)
    update.zero_grad()
    update.backward(value)
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    update.step(lambda: value)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert torch.isfinite(full(net.eval()(inputs))).all()


def test_the_table_above_is_complete():
    assert set(READS) == set(groups()["model"])
    kinds = {kind for reads in READS.values() for kind in reads}
    assert kinds == set(parts.FITTING) == {"features", "image", "tokens"}


@pytest.mark.parametrize("loss", groups()["loss"])
@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "iris"])
def test_a_loss_fits_its_task_or_suggests_auto(datasets, loss, name):
    loaders, spec, overrides = datasets(name)
    cfg, _ = checked([*overrides, f"loss={loss}"])
    fits = {
        "diabetes": {"mse", "mae", "huber", "squared_error"},
        "breast_cancer": {"bce"},
        "iris": {"cross_entropy", "nll"},
    }
    if loss in fits[name] | {"auto"}:
        assert torch.isfinite(
            parts.loss(cfg, spec, loaders.train.targets)(torch.zeros(2, spec.out_features), loaders.train.targets[:2])
        )
    else:
        with pytest.raises(ConfigError, match=f"this data is {spec.task}; use loss=auto"):
            parts.loss(cfg, spec, loaders.train.targets)


def test_weight_decay_leaves_biases_and_norms_alone(datasets):
    loaders, spec, _ = datasets("digits")
    for overrides in (["optim=sgd", "optim.weight_decay=0.5"], ["optim=adamw"]):
        cfg, _ = checked(["data=digits", "model=resnet", *overrides])
        net = parts.model(cfg, spec, next(iter(loaders.train))[0][:2])
        groups_ = build_update.update(cfg, net, 10, torch.amp.GradScaler("cpu", enabled=False)).optimizer.param_groups
        decayed, left = ({id(p) for p in group["params"]} for group in groups_)
        assert [group["weight_decay"] > 0 for group in groups_] == [True, False]
        for name, parameter in net.named_parameters():
            assert id(parameter) in (decayed if name.endswith("weight") and parameter.ndim > 1 else left), name


@pytest.mark.parametrize("optim", groups()["optim"])
def test_every_optimizer_finds_the_line_with_its_defaults(dltrain, optim):
    outcome = dltrain("data=synthetic_linear", "model=linear", f"optim={optim}", "epochs=30")
    assert outcome.code == 0, outcome.err
    assert outcome.summary["test"]["r2"] >= 0.99


@pytest.mark.parametrize(("optim", "warned"), [("rprop", True), ("lbfgs", True), ("sgd", False)])
def test_full_batch_methods_warn_about_mini_batches(dltrain, optim, warned):
    for size in (32, "full"):
        outcome = dltrain("data=diabetes", "model=linear", f"optim={optim}", f"data.batch_size={size}", "epochs=1")
        assert ("use data.batch_size=full" in outcome.out) == (warned and size == 32)


def test_plateau_lowers_the_rate_in_a_run(dltrain):
    outcome = dltrain(
        "data=diabetes", "model=linear", "scheduler=plateau", "scheduler.patience=0", "epochs=30", "optim.lr=0.3"
    )
    rates = [float(row.split(",")[3]) for row in (outcome.folder / "metrics.csv").read_text().splitlines()[1:]]
    assert rates[0] == 0.3
    assert rates[-1] < 0.1


@pytest.mark.parametrize("option", groups()["experiment"])
def test_every_recipe_runs_for_a_batch(dltrain, option, request):
    root = request.getfixturevalue("real_data")
    outcome = dltrain(f"experiment={option}", "dry_run=true", *([f"data.root={root}"] if needs_root(option) else []))
    assert outcome.code == 0, outcome.err


def needs_root(option):
    cfg, _ = checked([f"experiment={option}"])
    return OmegaConf.select(cfg, "data.root") is not None
