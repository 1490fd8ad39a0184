"""What the tool is known to reach, on real data; the long ones are marked slow."""

import pytest
import torch
from sklearn.linear_model import LinearRegression

from trainer.data import tabular


def test_the_default_learns_to_read_digits(dltrain):
    summary = dltrain().summary
    assert summary["test"]["accuracy"] >= 0.97
    assert summary["test"]["accuracy"] > summary["baselines"]["majority class"]["accuracy"] + 0.8


def test_synthetic_weights_are_found_in_three_epochs(dltrain):
    outcome = dltrain("data=synthetic_linear", "model=linear", "optim=sgd", "optim.lr=0.03", "epochs=3")
    learned = outcome.summary["learned"]
    assert [*learned["w"], *learned["b"]] == pytest.approx([2, -3.4, 4.2], abs=0.01)
    assert "true" in outcome.out
    assert "learned" in outcome.out


@pytest.mark.parametrize("seed", [0, 1])
def test_lbfgs_on_diabetes_equals_the_closed_form(dltrain, seed):
    outcome = dltrain("data=diabetes", "model=linear", "optim=lbfgs", f"seed={seed}")
    splits, spec = tabular.diabetes(seed=seed)
    x = splits.train.inputs.double() * spec.feature_std + spec.feature_mean
    y = spec.in_units(splits.train.targets.double())
    reference = LinearRegression().fit(x.numpy(), y.numpy())
    learned = outcome.summary["learned"]
    assert learned["w"] == pytest.approx(reference.coef_[0].tolist(), rel=1e-3)
    assert learned["b"] == pytest.approx(reference.intercept_.tolist(), rel=1e-3)
    z = splits.test.inputs.double() * spec.feature_std + spec.feature_mean
    error = torch.from_numpy(reference.predict(z.numpy())) - spec.in_units(splits.test.targets.double())
    assert outcome.summary["test"]["mse"] == pytest.approx(error.square().mean().item(), rel=1e-3)
    assert outcome.summary["baseline"]["mse"] == pytest.approx(error.square().mean().item(), rel=1e-4)


def test_mnist_trains_from_packed_files(dltrain, small_mnist):
    outcome = dltrain("model=resnet", "data=mnist", f"data.root={small_mnist}", "epochs=1")
    assert outcome.code == 0, outcome.err
    assert "900 train, 100 validation, 200 test" in outcome.out


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("model", "epochs", "accuracy"),
    [("logistic", 5, 0.92), ("mlp", 5, 0.978), ("simple_cnn", 3, 0.990), ("resnet", 2, 0.990)],
)
def test_mnist_accuracy(dltrain, real_data, model, epochs, accuracy, seed):
    outcome = dltrain(f"model={model}", "data=mnist", f"data.root={real_data}", f"epochs={epochs}", f"seed={seed}")
    assert outcome.summary["test"]["accuracy"] >= accuracy
    assert outcome.summary["train_s"] <= 180
