import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from trainer.build import parts
from trainer.build import update as build_update
from trainer.config import targets
from trainer.config.check import checked
from trainer.config.schema import CONF, groups
from trainer.errors import ConfigError

HOSTILE = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "os.popen",
    "subprocess.run",
    "subprocess.call",
    "subprocess.Popen",
    "webbrowser.open",
    "runpy.run_path",
    "ctypes.CDLL",
    "pandas.read_pickle",
    "torch.load",
    "torch.hub.load",
    "torch.os.system",
    "torch.nn.functional.torch.os.system",
    "torch.nn.modules.module.torch.os.system",
    "torch.optim.sgd.os.system",
    "torch.nn.Module.load_state_dict",
    "torch.optim.Optimizer.__init__",
    "torch.utils.cpp_extension.load",
    "torchvision.os.system",
    "torchvision.models.os.system",
    "torchvision.datasets.utils.os.system",
    "logging.os.system",
    "shutil.rmtree",
    "pathlib.Path.unlink",
    "pathlib.Path.touch",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "hydra.utils.get_method",
    "hydra._internal.utils._locate",
    "importlib.import_module",
    "pickle.loads",
    "trainer.cli.main",
    "trainer.cli.os.system",
    "trainer.runs.folder.subprocess.run",
    "trainer.runs.checkpoints.torch.load",
    "trainer.data._image.idx.gzip.os.system",
    "trainer.models.linear.nn.Linear",
    "trainer.data.images.os.system",
    "trainer.data.images._download",
    "trainer.losses.__builtins__",
    "mynet.os.system",
    "mynet.call",
    "mynet.Net.run",
    "mynet.eval",
    "numpy.load",
    "",
    "os",
    None,
    3,
]


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "import os\nfrom subprocess import call\nfrom torch import nn\n\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, in_shape, out_features, hidden=8):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden), nn.Linear(hidden, out_features))\n\n"
        "    def forward(self, x):\n"
        "        return self.layers(x)\n\n"
        "    def run(self):\n"
        "        os.system('touch canary')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    yield tmp_path
    sys.modules.pop("mynet", None)


@pytest.mark.parametrize("target", HOSTILE)
def test_nothing_outside_a_slot_is_found_under_any_alias(own_folder, target):
    for slot in targets.MODULES:
        with pytest.raises(ConfigError):
            targets.locate(slot, target)
    assert not (own_folder / "canary").exists()


@pytest.mark.parametrize("folder", ["/", sys.prefix, sys.base_prefix])
def test_python_itself_is_not_user_code_even_below_the_working_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)
    for target in ("subprocess.getoutput", "os.system", "shutil.rmtree", "pip.main", "yaml.load", "pandas.read_pickle"):
        for slot in targets.MODULES:
            with pytest.raises(ConfigError):
                targets.locate(slot, target)


def test_a_module_that_is_not_allowed_is_not_even_imported():
    sys.modules.pop("antigravity", None)
    with pytest.raises(ConfigError):
        targets.locate("model", "antigravity.fly")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("slot", "target"),
    [
        ("optim", "torch.nn.Linear"),
        ("optim", "torch.optim.lr_scheduler.StepLR"),
        ("loss", "torch.optim.SGD"),
        ("loss", "trainer.models.mlp.MLP"),
        ("model", "torch.nn.Linear"),
        ("scheduler", "torch.optim.SGD"),
        ("data", "trainer.models.mlp.MLP"),
    ],
)
def test_a_slot_accepts_only_its_own_kind(slot, target):
    with pytest.raises(ConfigError):
        targets.locate(slot, target)


@pytest.mark.parametrize("name", ["_partial_", "_args_", "_recursive_", "_convert_"])
def test_hydras_instantiation_keys_are_rejected(name):
    cfg = OmegaConf.create({"model": {"_target_": "trainer.models.mlp.MLP", name: True}})
    with pytest.raises(ConfigError, match=name):
        targets.component(cfg, "model", in_shape=(4,), out_features=1)


def test_a_nested_target_is_rejected():
    cfg = OmegaConf.create(
        {
            "model": {
                "_target_": "trainer.models.mlp.MLP",
                "hidden": [{"_target_": "os.system", "command": "touch canary"}],
            }
        }
    )
    with pytest.raises(ConfigError, match=r"model.hidden.0._target_=os.system"):
        targets.component(cfg, "model", in_shape=(4,), out_features=1)


def test_a_users_own_model_is_found_in_their_folder(own_folder):
    assert targets.locate("model", "mynet.Net").__name__ == "Net"


def test_a_torch_optimizer_or_scheduler_needs_only_a_yaml():
    cfg = OmegaConf.create(
        {
            "optim": {"_target_": "torch.optim.RMSprop", "lr": 0.1, "alpha": 0.5},
            "scheduler": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR"},
        }
    )
    optimizer = targets.component(cfg, "optim", params=[nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["alpha"] == 0.5
    assert build_update.schedule(cfg, optimizer, total_steps=7).T_max == 7


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in groups().items() for option in options]
)
def test_every_yaml_composes_and_its_target_takes_its_arguments(group, option):
    node = OmegaConf.load(CONF / group / f"{option}.yaml")
    lines = [f"{group}.{key}=x" for key in node if OmegaConf.is_missing(node, key)]
    cfg, _ = checked([f"{group}={option}", *lines])
    parts.check(cfg)
    assert groups()[group][option], f"conf/{group}/{option}.yaml has no comment for --help"


def test_every_yaml_is_short():
    for file in CONF.glob("*/*.yaml"):
        assert len(file.read_text().splitlines()) <= 14, file


SQUEEZENET = OmegaConf.create(
    {
        "model": {"_target_": "torchvision.models.squeezenet1_1"},
        "channels_last": False,
        "precision": "fp32",
        "data": {"batch_size": 8},
    }
)


def test_a_torchvision_model_reads_grey_images():
    spec = parts.DataSpec("multiclass", (1, 28, 28), out_features=10)
    model = parts.model(SQUEEZENET, spec, torch.zeros(2, 1, 28, 28))
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_a_wrong_argument_of_a_torchvision_model_is_a_configuration_error():
    cfg = OmegaConf.merge(SQUEEZENET, {"model": {"nonsense": 1}})
    with pytest.raises(ConfigError, match="nonsense"):
        parts.model(cfg, parts.DataSpec("multiclass", (1, 28, 28), out_features=10), torch.zeros(2, 1, 28, 28))


def test_a_model_that_does_not_read_the_data_is_named():
    spec = parts.DataSpec("regression", (10,))
    with pytest.raises(ConfigError, match=r"squeezenet1_1 reads image, .* features of shape \(10,\); use model=mlp"):
        parts.model(SQUEEZENET, spec, torch.zeros(2, 10))


def test_conf_is_next_to_the_package():
    assert (Path(CONF) / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=iris", "augment.shift=1"], "augment.shift=1 does not apply to features; use augment.shift=0"),
        (["data=digits", "augment.flip=2"], "augment.flip=2.0: expected a number of at least 0 and at most 1"),
        (["data=digits", "augment.crop=1"], "augment.crop=1.0: expected a number of at least 0 and below 1"),
        (["data=digits", "augment.shift=-1"], "augment.shift=-1: expected a whole number of at least 0"),
        (["data=digits", "channels_last=maybe"], "channels_last=maybe: expected one of auto, true, false"),
    ],
)
def test_augmentation_that_does_not_apply_is_rejected(overrides, message):
    def data():
        return parts.data(checked(overrides)[0], torch.device("cpu"))

    with pytest.raises(ConfigError) as refusal:
        data()
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], False),
        (["channels_last=true"], True),
        (["precision=bf16"], True),
        (["precision=bf16", "channels_last=false"], False),
    ],
)
def test_channels_are_last_on_request_or_in_16_bits(overrides, expected):
    cfg, _ = checked(["data=digits", "model=simple_cnn", *overrides])
    loaders, spec = parts.data(cfg, torch.device("cpu"))
    model = parts.model(cfg, spec, next(iter(loaders.train))[0][:2])
    assert model[3].weight.is_contiguous(memory_format=torch.channels_last) == expected


def test_a_model_without_parameters_is_a_configuration_error():
    cfg, _ = checked([])
    with pytest.raises(ConfigError, match="empty parameter list"):
        build_update.update(cfg, nn.Flatten(), 10, torch.amp.GradScaler("cpu", enabled=False))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["optim=adam"], (None, True)),
        (["optim=sgd", "optim.momentum=0.9"], (None, True)),
        (["optim=sgd", "optim.momentum=0"], (False, None)),
        (["optim=adam", "optim.fused=false"], (None, False)),
        (["optim=adam", "compile=true"], (False, None)),
        (["optim=rmsprop"], (None, None)),
    ],
)
def test_the_fastest_implementation_of_an_optimizer_is_the_default(overrides, expected):
    cfg, _ = checked(overrides)
    update = build_update.update(cfg, nn.Linear(2, 1), 10, torch.amp.GradScaler("cpu", enabled=False))
    (group,) = update.optimizer.param_groups
    assert (group.get("foreach"), group.get("fused")) == expected


def test_only_training_batches_are_augmented():
    plain, augmented = (
        parts.data(checked(["data=digits", f"augment.noise={noise}"])[0], torch.device("cpu"))[0] for noise in (0, 0.5)
    )
    for part, same in [("train", False), ("val", True), ("test", True)]:
        a, b = (torch.cat([inputs for inputs, _ in getattr(loaders, part)]) for loaders in (plain, augmented))
        assert torch.equal(a, b) == same
