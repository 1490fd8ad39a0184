"""Known results on real data; long tests are marked slow."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression

from trainer.data import tabular
from trainer.engine.classical import logistic_regression


def test_the_default_run_learns_digits(dltrain):
    summary = dltrain("baselines=auto").summary
    assert summary["test"]["accuracy"] >= 0.97
    assert summary["test"]["accuracy"] > summary["baselines"]["majority class"]["accuracy"] + 0.8


def test_synthetic_weights_are_recovered_in_three_epochs(dltrain):
    outcome = dltrain("data=synthetic_linear", "model=linear", "optim=sgd", "optim.lr=0.03", "epochs=3")
    learned = outcome.summary["learned"]
    assert [*learned["w"], *learned["b"]] == pytest.approx([2, -3.4, 4.2], abs=0.01)
    assert "true" in outcome.out
    assert "learned" in outcome.out


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["diabetes", "boston"])
def test_lbfgs_equals_the_closed_form(dltrain, request, name, seed):
    root = {"root": str(request.getfixturevalue("real_data"))} if name == "boston" else {}
    options = [f"data.root={root['root']}"] if root else []
    outcome = dltrain(f"data={name}", *options, "model=linear", "optim=lbfgs", f"seed={seed}", "baselines=auto")
    splits, spec = getattr(tabular, name)(seed=seed, **root)
    x = splits.train.inputs.double() * spec.feature_std + spec.feature_mean
    y = spec.in_units(splits.train.targets.double())
    reference = LinearRegression().fit(x.numpy(), y.numpy())
    learned = outcome.summary["learned"]
    assert learned["w"] == pytest.approx(reference.coef_[0].tolist(), rel=1e-3)
    assert learned["b"] == pytest.approx(reference.intercept_.tolist(), rel=1e-3)
    z = splits.test.inputs.double() * spec.feature_std + spec.feature_mean
    error = torch.from_numpy(reference.predict(z.numpy())) - spec.in_units(splits.test.targets.double())
    assert outcome.summary["test"]["rmse"] == pytest.approx(error.square().mean().sqrt().item(), rel=5e-4)
    assert outcome.summary["baselines"]["least squares"]["rmse"] == pytest.approx(
        error.square().mean().sqrt().item(), rel=5e-5
    )


def test_the_line_from_rooms_to_price_is_the_known_best(dltrain, real_data):
    outcome = dltrain("experiment=boston_rooms", f"data.root={real_data}")
    assert "validation and test are the training examples" in outcome.out
    assert outcome.summary["test"]["rmse"] ** 2 == pytest.approx(43.60, abs=0.005)


@pytest.mark.parametrize(("search", "tolerance"), [("random", 0.1), ("direction", 0.005)])
def test_a_search_finds_the_best_line_without_a_gradient(dltrain, real_data, search, tolerance):
    outcome = dltrain(f"experiment=boston_rooms_{search}", f"data.root={real_data}")
    assert outcome.summary["test"]["rmse"] ** 2 == pytest.approx(43.60, abs=tolerance)


def test_grid_search_finds_the_line_through_three_points(dltrain):
    assert dltrain("experiment=line_grid").summary["learned"] == {"w": [2.0], "b": [0.0]}


def test_the_scratch_network_beats_least_squares(dltrain, real_data):
    summary = dltrain("experiment=boston_scratch", f"data.root={real_data}", "baselines=auto").summary
    assert summary["test"]["r2"] >= 0.8
    assert summary["test"]["rmse"] < summary["baselines"]["least squares"]["rmse"]


def test_gradient_descent_finds_the_line_through_three_points(dltrain):
    learned = dltrain("experiment=linear_line").summary["learned"]
    w, b = *learned["w"], *learned["b"]
    assert (w, b) == pytest.approx((2, 0), abs=0.15)
    assert 4 * w + b == pytest.approx(8, abs=0.1)


def unpenalised(splits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if the classes are separable, the weights grow without bound
        model = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-8)
        return model.fit(splits.train.inputs.numpy(), splits.train.targets.flatten().numpy())


@pytest.mark.parametrize("seed", [0, 1])
def test_lbfgs_equals_unpenalised_logistic_regression(dltrain, real_data, seed):
    outcome = dltrain(
        "data=pima", f"data.root={real_data}", "model=logistic", "optim=lbfgs", "monitor=loss", f"seed={seed}"
    )
    splits, spec = tabular.pima(root=str(real_data), seed=seed)
    reference = unpenalised(splits)
    weights = torch.from_numpy(reference.coef_[0]) / spec.feature_std
    assert outcome.summary["learned"]["w"] == pytest.approx(weights.tolist(), rel=0.01, abs=1e-4)
    expected = reference.score(splits.test.inputs.numpy(), splits.test.targets.flatten().numpy())
    assert outcome.summary["test"]["accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lbfgs_separates_separable_classes(dltrain, seed):
    """The weights grow without bound: their direction, and 1 or 2 of the 113 test patients, depend on the solver."""
    outcome = dltrain("data=breast_cancer", "model=logistic", "optim=lbfgs", f"seed={seed}")
    splits, _ = tabular.breast_cancer(seed=seed)
    reference = unpenalised(splits)
    rows = (outcome.folder / "metrics.csv").read_text().splitlines()
    trained = float(dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))["train/accuracy"])
    assert trained == reference.score(splits.train.inputs.numpy(), splits.train.targets.flatten().numpy()) == 1
    expected = reference.score(splits.test.inputs.numpy(), splits.test.targets.flatten().numpy())
    assert outcome.summary["test"]["accuracy"] == pytest.approx(expected, abs=0.01)


def test_the_linear_baseline_is_certain_far_from_the_training_data():
    x, y = np.arange(30.0)[:, None], np.arange(30) // 10
    far = logistic_regression(x, y, 3)(np.array([[-1e9], [1e9]]))
    assert np.exp(far).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_mnist_trains_from_gzipped_files(dltrain, small_mnist):
    outcome = dltrain("model=resnet", "data=mnist", f"data.root={small_mnist}", "epochs=1")
    assert outcome.code == 0, outcome.err
    assert "900 train, 100 validation, 200 test" in outcome.out


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("recipe", "accuracy"),
    [
        ("mnist_softmax", 0.92),
        ("mnist_mlp", 0.978),
        ("mnist_cnn", 0.990),
        ("mnist_googlenet", 0.990),
        ("mnist_resnet", 0.990),
        ("mnist_rnn_rows", 0.95),
        ("mnist_gru_rows", 0.98),
        ("names_gru", 0.84),
    ],
)
def test_a_recipe_reaches_its_stated_accuracy(dltrain, real_data, recipe, accuracy, seed):
    outcome = dltrain(f"experiment={recipe}", f"data.root={real_data}", f"seed={seed}")
    assert outcome.summary["test"]["accuracy"] >= accuracy
    assert outcome.summary["train_s"] <= 180
