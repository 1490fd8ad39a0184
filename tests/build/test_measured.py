"""Which metrics a run measures, and those of the user's own."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from trainer.build.metrics import metrics
from trainer.data.tensors import DataSpec
from trainer.errors import ConfigError
from trainer.metrics.names import Meaning

OWN = """
import torch

def cost(outputs, targets, price=5.0):
    assert outputs.device.type == targets.device.type == "cpu"
    missed = (outputs <= 0) & (targets == 1)
    return price * missed.float().mean()

cost.higher_is_better = False

def spread(outputs, targets):
    return (outputs - targets).abs().max()

def several(outputs, targets):
    return outputs

def accuracy(outputs, targets):
    return 1.0

class Hits:
    higher_is_better = True

    def __init__(self, power=1):
        self.power = power

    def reset(self):
        self.hits, self.count = 0, 0

    def update(self, outputs, targets):
        self.hits += int(((outputs > 0) == (targets > 0.5)).sum())
        self.count += len(targets)

    def compute(self):
        return torch.tensor(self.hits / self.count) ** self.power

class Unfit:
    def update(self, outputs, targets): ...
"""
SPECS = {
    "regression": DataSpec("regression", (3,), target_mean=100.0, target_std=10.0),
    "binary": DataSpec("binary", (3,)),
    "multiclass": DataSpec("multiclass", (3,), out_features=12),
}
TARGETS = {
    "regression": torch.linspace(-1, 1, 20)[:, None],
    "binary": (torch.arange(20) % 2).float()[:, None],
    "multiclass": torch.arange(24) % 12,
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymetrics.py").write_text(OWN)
    yield
    sys.modules.pop("mymetrics", None)


def built(task, given="auto", monitor="auto", meaning=Meaning()):  # noqa: B008 - immutable
    cfg = OmegaConf.create({"metrics": given, "monitor": monitor})
    return metrics(cfg, SPECS[task], TARGETS[task], meaning)


@pytest.mark.parametrize(
    ("task", "given", "monitor", "names", "monitored"),
    [
        ("regression", "auto", "auto", ["rmse", "mae", "r2"], ("rmse", False)),
        ("binary", "auto", "auto", ["accuracy", "f1", "auc"], ("accuracy", True)),
        ("multiclass", "auto", "auto", ["accuracy", "f1_macro", "top5"], ("accuracy", True)),
        ("binary", "mcc", "auto", ["mcc"], ("mcc", True)),
        ("binary", ["precision", "recall"], "loss", ["precision", "recall"], ("loss", False)),
        ("binary", ["auto", "mcc", "accuracy"], "auto", ["accuracy", "f1", "auc", "mcc"], ("accuracy", True)),
        ("regression", "auto", "mse", ["rmse", "mae", "r2", "mse"], ("mse", False)),
        ("binary", [], "auto", [], ("loss", False)),
        ("binary", ["accuracy", "mymetrics.cost"], "cost", ["accuracy", "cost"], ("cost", False)),
        ("binary", [{"_target_": "mymetrics.Hits", "power": 2}], "auto", ["Hits"], ("Hits", True)),
        ("regression", ["auto", "mymetrics.spread"], "auto", ["rmse", "mae", "r2", "spread"], ("rmse", False)),
    ],
)
def test_what_is_measured_and_what_is_monitored(task, given, monitor, names, monitored):
    training, evaluation, best = built(task, given, monitor)
    assert [*evaluation.metrics] == names
    assert (best.monitor, best.sign > 0) == monitored
    assert {*training.metrics} == {*names} - {"auc", "cost", "Hits", "spread"}  # these need all examples at once


def test_an_older_run_measures_and_monitors_what_it_did():
    _, evaluation, best = built("regression", meaning=Meaning("f1_macro", ("mse", "rmse"), breaks_ties=False))
    assert [*evaluation.metrics] == ["mse", "rmse"]
    assert best.monitor == "mse"
    assert [*built("binary", ["f1"], "f1", Meaning("f1_macro"))[1].metrics] == ["f1_macro"]


def test_ones_own_metrics_see_all_examples_at_once_with_their_arguments():
    given = [{"_target_": "mymetrics.cost", "price": 8}, {"_target_": "mymetrics.Hits", "power": 2}]
    meter = built("binary", given)[1]
    outputs, targets = torch.tensor([[1.0], [-1], [-1], [2]]), torch.tensor([[1.0], [1], [0], [0]])
    for _ in range(2):
        for part in (slice(0, 3), slice(3, 4)):
            meter.update(outputs[part], targets[part], torch.tensor(0.0))
        assert meter.compute() == {"loss": 0, "cost": 8 / 4, "Hits": (2 / 4) ** 2}
    values = built("regression", ["auto", "mymetrics.spread"])[1]
    values.update(torch.tensor([[0.5], [0.0]]), torch.tensor([[0.0], [-1.0]]), torch.tensor(0.0))
    assert values.compute()["spread"] == 10  # in the target's units


@pytest.mark.parametrize(
    ("given", "monitor", "message"),
    [
        ("acuracy", "auto", "'acuracy' is not available for binary; did you mean accuracy"),
        (["rmse"], "auto", "'rmse' is not available for binary; choose from accuracy, auc,"),
        ([5], "auto", "'5' is not available for binary"),
        ("auto", "top5", "monitor=top5 is not measured"),
        ("auto", "mymetrics.cost", "monitor=mymetrics.cost is not measured"),
        ("mymetrics.spread", "auto", "monitor=spread: it does not say which values are better; add spread.higher_is_"),
        ("mymetrics.several", "loss", "metrics: mymetrics.several: only one element tensors can be converted"),
        ("mymetrics.accuracy", "auto", "another metric is called accuracy too"),
        (["mymetrics.cost", "mymetrics.cost"], "auto", "another metric is called cost too"),
        ("mymetrics.nothing", "auto", "cannot be imported: AttributeError"),
        ("mymetrics.Unfit", "auto", "metrics._target_=mymetrics.Unfit: must come from a module in "),
        ("mymetrics.torch", "auto", "must come from a module in "),
        ("os.getcwd", "auto", "metrics._target_=os.getcwd: must come from a module in "),
        ([{"_target_": "mymetrics.cost", "prize": 1}], "auto", "metrics.prize=1: mymetrics.cost has no such argument"),
        ([{"_target_": "mymetrics.cost", "targets": 1}], "auto", "metrics.targets=1: mymetrics.cost has no such"),
        ([{"price": 1}], "auto", "metrics._target_=None: must come from"),
        ([["mymetrics.cost"]], "auto", "must come from a module in "),
        ({"_target_": "mymetrics.cost"}, "auto", "metrics: expected names or a list"),
    ],
)
def test_a_wrong_metric_is_refused_in_one_line_before_training(given, monitor, message):
    with pytest.raises(ConfigError) as error:
        built("binary", given, monitor)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
