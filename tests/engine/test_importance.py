"""Permutation importance has the values of the formula and of scikit-learn; columns are shuffled whole."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from torch import nn

from trainer.data import tabular
from trainer.data.tensors import DataSpec, Examples, TensorLoader
from trainer.engine.importance import REPEATS, Importance, Judge, _summary, columns_of, importances
from trainer.engine.loop import evaluate
from trainer.engine.meter import Meter
from trainer.metrics.built_in import METRICS

WEIGHTS = torch.tensor([3.0, -1.0, 0.0, 0.5])


def loader_of(inputs, targets):
    return TensorLoader(Examples(inputs, targets), 300, prepare=lambda batch: batch)


def judged(model, metric="mse", sign=-1.0):
    return Judge(model, nn.MSELoss(), Meter({metric: METRICS[metric]()}), nullcontext(), metric, sign)


def linear(num=2000):
    inputs = torch.randn(num, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3, 1])
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = WEIGHTS[None]
    return model, loader_of(inputs, inputs @ WEIGHTS[:, None])


def test_a_linear_models_error_rises_by_twice_the_variance_that_a_column_explains():
    model, loader = linear()
    found, score = importances(judged(model), loader, {name: [at] for at, name in enumerate("abcd")}, seed=0)
    assert score == 0
    expected = 2 * (WEIGHTS * loader.inputs).var(0)
    assert [each.name for each in found] == ["a", "b", "d", "c"]
    for each in found:
        assert each.drop == pytest.approx(float(expected["abcd".index(each.name)]), rel=0.05)
        assert each.low <= each.drop <= each.high
    assert found[-1] == Importance("c", 0, 0, 0)
    reference = LinearRegression(fit_intercept=False).fit(loader.inputs, loader.targets)
    theirs = permutation_importance(
        reference, loader.inputs, loader.targets, scoring="neg_mean_squared_error", n_repeats=REPEATS, random_state=0
    )
    ours = [next(each.drop for each in found if each.name == name) for name in "abcd"]
    assert ours == pytest.approx(theirs.importances_mean.tolist(), rel=0.03, abs=1e-9)


def test_shuffles_are_seeded_and_a_sample_of_the_examples_may_do():
    model, loader = linear()
    columns = {"a": [0], "b": [1]}

    def found(seed, index=None):
        return importances(judged(model), loader, columns, seed, index)

    assert found(1) == found(1)
    assert found(1) != found(2)
    half = loader_of(loader.inputs[::2], loader.targets[::2])
    assert found(1, torch.arange(0, 2000, 2)) == importances(judged(model), half, columns, 1)


def test_the_interval_is_students():
    drops = [*np.random.default_rng(0).normal(size=REPEATS)]
    each = _summary("a", drops)
    low, high = stats.t.interval(0.95, REPEATS - 1, np.mean(drops), stats.sem(drops))
    assert (each.drop, each.low, each.high) == pytest.approx((np.mean(drops), low, high))


def test_all_inputs_of_a_column_are_shuffled_together(tmp_path):
    rows = [f"{['red', 'green', 'blue', ''][n % 4]},{'' if n % 3 else n},{n % 5},{n % 2}" for n in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["colour,size,other,y", *rows]))
    splits, spec = tabular.csv(path=str(tmp_path / "t.csv"), target="y")
    columns = columns_of(spec)
    assert [*columns] == ["colour", "size", "other"]
    assert sorted(at for inputs in columns.values() for at in inputs) == [*range(spec.in_shape[0])]
    assert len(columns["colour"]) == 4
    assert len(columns["size"]) == 2
    seen = []

    class Keeps(nn.Module):
        def forward(self, inputs):
            seen.append(inputs.clone())
            return inputs[:, :1]

    loader = loader_of(splits.test.inputs, splits.test.targets)
    importances(judged(Keeps(), "accuracy", 1.0), loader, columns, seed=0)
    original, *shuffled = seen
    assert len(shuffled) == 3 * REPEATS
    for number, inputs in enumerate(shuffled):
        name = [*columns][number // REPEATS]
        rest = [at for at in range(spec.in_shape[0]) if at not in columns[name]]
        assert torch.equal(inputs[:, rest], original[:, rest])
        pairs = (sorted(map(tuple, part[:, columns[name]].tolist())) for part in (inputs, original))
        assert next(pairs) == next(pairs)  # the same cells, in another order
        assert not torch.equal(inputs[:, columns[name]], original[:, columns[name]])


def test_without_an_encoder_each_feature_is_a_column():
    assert columns_of(DataSpec("regression", (2,), feature_names=("x", "y"))) == {"x": [0], "y": [1]}
    assert columns_of(DataSpec("regression", (2,))) == {"input 1": [0], "input 2": [1]}


def test_the_score_is_that_of_the_evaluation_and_data_is_left_as_it_is():
    model, loader = linear()
    model.weight.data += 0.1
    before = loader.inputs.clone()
    _, score = importances(judged(model), loader, {"a": [0]}, 0)
    meter = Meter({"mse": METRICS["mse"]()})
    assert score == evaluate(model, nn.MSELoss(), loader, meter, autocast=nullcontext())["mse"]
    assert torch.equal(loader.inputs, before)
