"""Baselines have the values of scikit-learn called directly, and cost no more than they may."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.neighbors import NearestCentroid

from trainer.data import images, tabular
from trainer.data._vocabulary import Vocabulary
from trainer.data.tensors import Examples, TensorLoader, spec_of_classes
from trainer.engine import baselines as module
from trainer.engine import classical
from trainer.engine.baselines import baselines, best_of
from trainer.engine.meter import Best, Meter
from trainer.engine.ngrams import Ngrams
from trainer.losses import auto
from trainer.metrics.built_in import METRICS

RNG = np.random.default_rng(0)
TEXTS = ["".join(RNG.choice([*"abcde "], size)).strip() or "a" for size in RNG.integers(1, 12, 300)]
LABELS = torch.tensor([len(text) % 3 for text in TEXTS])
VOCABULARY = Vocabulary((*" abcd",), "characters", 12)  # e is unknown


def measured(splits, spec, *, seed=0, metrics=("accuracy",)):
    train, test = (TensorLoader(part, 100, prepare=splits[2], device="cpu") for part in splits[:2])
    meter = Meter({name: METRICS[name]() for name in metrics}, spec.in_units if spec.task == "regression" else None)
    return baselines(train, test, spec, auto(task=spec.task, class_counts=[]), meter, seed)


def parts_of(splits):
    return splits.train, splits.test, splits.prepare


def arrays(examples, prepare=lambda inputs: inputs):
    return prepare(examples.inputs).flatten(1).double().numpy(), examples.targets.flatten().numpy()


def texts_and_spec():
    examples = Examples(VOCABULARY.encode(TEXTS), LABELS)
    spec = spec_of_classes("xyz", (12,), vocab_size=7, encoder=VOCABULARY)
    return (examples.at(slice(200)), examples.at(slice(200, 300)), lambda inputs: inputs), spec


def cut(longest):
    """Return an analyzer for scikit-learn: the n-grams of a text whose unknown characters are all one."""

    def analyzer(text):
        known = ["?" if token not in VOCABULARY.tokens else token for token in text]
        starts = itertools.product(range(1, longest + 1), range(len(known)))
        return ["".join(known[at : at + size]) for size, at in starts if at + size <= len(known)]

    return analyzer


@pytest.mark.parametrize("longest", [1, 2, 4])
def test_ngrams_are_counted_as_scikit_learn_counts_them(longest):
    ids = VOCABULARY.encode(TEXTS).numpy()
    bag, reference = Ngrams(ids[:200], longest), CountVectorizer(analyzer=cut(longest)).fit(TEXTS[:200])
    for part in (slice(200), slice(200, 300)):
        ours, theirs = bag.counts(ids[part]).toarray(), reference.transform(TEXTS[part]).toarray()
        assert sorted(map(tuple, ours.T)) == sorted(map(tuple, theirs.T))


@pytest.mark.filterwarnings("ignore:The max_iter was reached")
def test_the_baseline_of_texts_is_logistic_regression_on_tf_idf_of_ngrams():
    splits, spec = texts_and_spec()
    found, notes = measured(splits, spec, seed=3)
    assert not notes
    weights = TfidfVectorizer(analyzer=cut(4), sublinear_tf=True).fit(TEXTS[:200])
    model = LogisticRegression(solver="saga", C=10, max_iter=30, random_state=3)
    model.fit(weights.transform(TEXTS[:200]), LABELS[:200])
    chances = model.predict_proba(weights.transform(TEXTS[200:]))
    ours = found["logistic regression on n-grams"]
    assert ours["accuracy"] == (chances.argmax(1) == LABELS[200:].numpy()).mean() > 0.4
    assert ours["loss"] == pytest.approx(log_loss(LABELS[200:], chances), rel=1e-5)


def test_words_have_ngrams_of_two_and_data_without_a_vocabulary_too():
    splits, spec = texts_and_spec()
    of_words = measured(splits, replace(spec, encoder=replace(VOCABULARY, unit="words")))
    assert of_words == measured(splits, replace(spec, encoder=None))
    assert of_words != measured(splits, spec)


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "wine"])
def test_gradient_boosting_is_that_of_scikit_learn(name):
    splits, spec = getattr(tabular, name)()
    (x, y), (z, truth) = arrays(splits.train), arrays(splits.test)
    if spec.task == "regression":
        found, _ = measured(parts_of(splits), spec, seed=5, metrics=("mse",))
        predicted = HistGradientBoostingRegressor(random_state=5).fit(x, y).predict(z)
        expected = mean_squared_error(truth, predicted) * spec.target_std**2
        assert found["gradient boosting"]["mse"] == pytest.approx(expected, rel=1e-5)
        assert [*found] == ["mean", "least squares", "gradient boosting"]
        return
    found, _ = measured(parts_of(splits), spec, seed=5)
    for title, model in (
        ("gradient boosting", HistGradientBoostingClassifier(random_state=5)),
        ("logistic regression", LogisticRegression(max_iter=1000)),
    ):
        model.fit(x, y)
        assert found[title]["accuracy"] == pytest.approx(model.score(z, truth))
        assert found[title]["loss"] == pytest.approx(log_loss(truth, model.predict_proba(z)), rel=1e-5)
    assert [*found] == ["majority class", "logistic regression", "gradient boosting"]


@pytest.mark.filterwarnings("ignore:self.within_class")  # of pixels that are always 0
def test_the_nearest_class_mean_is_the_nearest_centroid():
    splits, spec = images.digits()
    found, _ = measured(parts_of(splits), spec)
    (x, y), (z, truth) = (arrays(part, splits.prepare) for part in (splits.train, splits.test))
    assert found["nearest class mean"]["accuracy"] == pytest.approx(NearestCentroid().fit(x, y).score(z, truth))
    assert [*found] == ["majority class", "nearest class mean", "logistic regression"]


def test_the_nearest_of_two_means_has_the_log_odds_of_two_normal_distributions():
    x, y = np.array([[0.0, 0], [2, 0], [5, 4], [7, 4]]), np.array([0, 0, 1, 1])
    means, variance, z = np.array([[1.0, 0], [6, 4]]), 0.5, np.array([[3.0, 1]])  # 1 in the first direction, 0 beside
    log_densities = -np.square(z - means).sum(1) / (2 * variance)
    [[logit]] = classical.nearest_mean(x, y, 1)(z)
    assert logit == pytest.approx(log_densities[1] - log_densities[0])
    ours = classical.nearest_mean(x, y, 3)(z)
    assert ours[0, 1] - ours[0, 0] == pytest.approx(logit)
    assert ours[0, 2] == classical.ABSENT


def test_a_large_training_split_is_sampled_with_the_seed(monkeypatch):
    splits, spec = images.digits()
    monkeypatch.setattr(module, "LINEAR", 600 * 64 * 10)
    found, notes = measured(parts_of(splits), spec, seed=1)
    assert notes == ["fitted to a sample of the 1,258 training examples: logistic regression to 600"]
    index = torch.randperm(1258, generator=torch.Generator().manual_seed(1))[:600].sort().values
    x, y = arrays(splits.train.at(index), splits.prepare)
    expected = LogisticRegression(max_iter=1000).fit(x, y).score(*arrays(splits.test, splits.prepare))
    assert found["logistic regression"]["accuracy"] == pytest.approx(expected)
    monkeypatch.setattr(module, "LINEAR", 499 * 64 * 10)
    found, notes = measured(parts_of(splits), spec)
    assert notes == ["logistic regression is left out: it would take long with 1,258 training examples"]
    assert [*found] == ["majority class", "nearest class mean"]


def test_gradient_boosting_is_left_out_where_it_says_nothing():
    splits, spec = tabular.wine()
    train, test, prepare = parts_of(splits)
    few = train.at(slice(0, None, 4))
    for case, about in [
        ((few, test, prepare), spec),  # two leaves have at least 40 examples
        ((train, train, prepare), spec),  # it would memorise what is tested
        ((train, test, prepare), replace(spec, true_parameters={"w": [1.0]})),
    ]:
        assert [*measured(case, about)[0]] == ["majority class", "logistic regression"]
    many = replace(spec, out_features=40)  # 4,000 trees
    assert measured((train, test, prepare), many)[1] == [
        "gradient boosting is left out: it would take long with 125 training examples"
    ]


def test_a_baseline_that_fails_is_a_note(monkeypatch):
    def fails(*_, **__):
        raise MemoryError

    monkeypatch.setattr(classical, "boosting", fails)
    splits, spec = tabular.wine()
    found, notes = measured(parts_of(splits), spec)
    assert notes == ["gradient boosting is left out: MemoryError: no message"]
    assert [*found] == ["majority class", "logistic regression"]


def test_the_best_baseline_has_the_best_monitored_metric():
    floor = {
        "mean": {"mse": 3.0, "r2": 0.0},
        "least squares": {"mse": 1.0, "r2": 0.5},
        "odd": {"mse": np.nan, "r2": 0.6},
    }
    assert best_of(floor, Best("mse", higher_is_better=False)) == "least squares"
    assert best_of(floor, Best("r2", higher_is_better=True)) == "odd"
    assert best_of({}, Best("r2", higher_is_better=True)) == ""
