"""What a run says when a baseline is better."""

import pytest
from omegaconf import OmegaConf

from trainer.engine.meter import Best
from trainer.view.advice import beaten

FLOOR = {"majority class": {"accuracy": 0.5}, "logistic regression": {"accuracy": 0.8}, "boosting": {"accuracy": 0.9}}
CFG = OmegaConf.create({"optim": {"lr": 0.001}})


def said(accuracy, *, kind="features", model="mlp", epoch=2, floor=FLOOR, cfg=CFG, interval=None):
    best = Best("accuracy", higher_is_better=True)
    best.epoch = epoch
    return beaten(cfg, {"model": model}, kind, best, {"accuracy": accuracy}, interval or {}, floor, 9)


@pytest.mark.parametrize("accuracy", [0.9, 0.95, float("nan")])
def test_a_model_that_beats_every_baseline_is_left_in_peace(accuracy):
    assert said(accuracy) == []
    assert said(accuracy, floor={}) == []


def test_the_same_model_trained_in_another_way_counts_as_equal():
    assert said(0.5 + 0.4 * 0.9995) == []
    assert said(0.5 + 0.4 * 0.998) != []


@pytest.mark.parametrize(
    ("epoch", "model", "kind", "cures"),
    [
        (9, "mlp", "features", "epochs=18"),
        (2, "mlp", "features", "optim.lr=0.0003"),
        (5, "mlp", "features", "optim=adamw optim.weight_decay=0.1"),
        (5, "linear", "features", "model=mlp"),
        (9, "mlp", "image", "model=simple_cnn or epochs=18"),
        (5, "mynet", "tokens", "model.dropout=0.3"),
    ],
)
def test_what_to_try_depends_on_the_model_and_on_when_it_was_best(epoch, model, kind, cures):
    expected = f"boosting is better: test accuracy 0.9000 against 0.8500; try {cures}"
    assert said(0.85, epoch=epoch, model=model, kind=kind) == [expected]


def test_a_difference_within_the_interval_of_the_model_is_said_to_be_small():
    assert "0.9000 against 0.8500, within its 95 % interval; try" in said(0.85, interval={"accuracy": (0.8, 0.9)})[0]
    assert "0.9000 against 0.8500; try" in said(0.85, interval={"accuracy": (0.8, 0.89)})[0]


def test_an_optimizer_without_a_learning_rate_gets_no_other_one():
    assert said(0.85, cfg=OmegaConf.create({"optim": {}}))[0].endswith("try optim=adamw optim.weight_decay=0.1")


def test_a_lower_error_is_better_and_a_constant_may_be_the_best():
    best = Best("mse", higher_is_better=False)
    best.epoch = 1
    floor = {"mean": {"mse": 2.0}, "least squares": {"mse": 3.0}}
    assert beaten(CFG, {}, "features", best, {"mse": 1.9}, {}, floor, 9) == []
    [line] = beaten(CFG, {}, "features", best, {"mse": 2.5}, {}, floor, 9)
    assert line == "mean is better: test mse 2.0000 against 2.5000; try optim.lr=0.0003"
