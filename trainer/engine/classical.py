"""Models that a closed form or scikit-learn fits in seconds: what a network has to beat.

`N` is the number of training examples, `M` that of others, `F` of features, `K` of outputs. Each function fits a model
and returns it as a function from features `(M, F)` to outputs `(M, K)` like a network's: standardised values, a logit
for two classes, or logits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from trainer.engine.ngrams import Ngrams

Predictor = Callable[[np.ndarray], np.ndarray]
ABSENT = -30.0  # logit, below all others, of a class that no training example has
FEWEST, MOST, WORK = 100, 1000, 4_000_000_000  # iterations, and numbers read in all of them
SPARSE_ITERATIONS = 30  # of SAGA, which need fewer


def least_squares(x: np.ndarray, y: np.ndarray) -> Predictor:
    """Fit a linear model to `x` `(N, F)` and values `y` `(N,)`."""
    inputs, values = F.pad(torch.from_numpy(x), (0, 1), value=1.0), torch.from_numpy(y)[:, None]
    weights = torch.linalg.lstsq(inputs, values, driver="gelsd").solution.numpy()  # the last one is the intercept
    return lambda z: z @ weights[:-1] + weights[-1]


def nearest_mean(x: np.ndarray, y: np.ndarray, num_outputs: int) -> Predictor:
    """Fit a normal distribution to each class in `y` `(N,)`, all with one variance: the class of the nearest mean wins.

    It is scikit-learn's NearestCentroid, and linear discriminant analysis with a spherical covariance and equal priors.
    """
    classes = np.unique(y)
    means = np.stack([x[y == number].mean(0) for number in classes])  # (classes, F)
    variance = np.square(x - means[np.searchsorted(classes, y)]).mean() or 1.0

    def logits(z: np.ndarray) -> np.ndarray:
        return (z @ means.T - np.square(means).sum(1) / 2) / variance

    if num_outputs == 1:
        return lambda z: logits(z) @ [[-1.0], [1.0]]
    return lambda z: _spread(logits(z) - logits(z).max(1, keepdims=True), classes, num_outputs)


def logistic_regression(x: np.ndarray, y: np.ndarray, num_outputs: int) -> Predictor:
    """Fit scikit-learn's logistic regression to classes `y` `(N,)`; large data gets fewer iterations."""
    from sklearn.linear_model import LogisticRegression

    iterations = min(MOST, max(FEWEST, WORK // (x.size * num_outputs)))
    return _logits(LogisticRegression(max_iter=iterations).fit(x, y), num_outputs)


def boosting(x: np.ndarray, y: np.ndarray, num_outputs: int, *, has_classes: bool, seed: int) -> Predictor:
    """Fit scikit-learn's histogram gradient boosting, after LightGBM (Ke et al. 2017), with its defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    kind = HistGradientBoostingClassifier if has_classes else HistGradientBoostingRegressor
    with threadpool_limits(torch.get_num_threads()):  # the jobs of a sweep share the cores
        trees = kind(random_state=seed).fit(x, y)
    return _logits(trees, num_outputs) if has_classes else lambda z: trees.predict(z)[:, None]


def ngrams(x: np.ndarray, y: np.ndarray, num_outputs: int, *, longest: int, seed: int) -> Predictor:
    """Fit a logistic regression to the n-grams of texts `x` `(N, L)`, weighted by TF-IDF (Sparck Jones 1972).

    The rows have norm 1, for which scikit-learn's default regularisation is too strong: C=10. SAGA (Defazio et al.
    2014) passes over sparse rows ten times as fast as LBFGS.
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    bag = Ngrams(x, longest)
    weights = TfidfTransformer(sublinear_tf=True).fit(bag.counts(x))
    options: dict[str, Any] = {"solver": "saga", "C": 10.0, "max_iter": SPARSE_ITERATIONS, "random_state": seed}
    model = LogisticRegression(**options).fit(weights.transform(bag.counts(x)), y)
    predict = _logits(model, num_outputs)
    return lambda z: predict(weights.transform(bag.counts(z)))


def _logits(model: Any, num_outputs: int) -> Predictor:
    """Return the logits of a fitted classifier of scikit-learn."""
    if num_outputs == 1:
        return lambda z: model.decision_function(z)[:, None]

    def predict(z: Any) -> np.ndarray:
        with np.errstate(divide="ignore"):  # far from the training data a probability may be 0
            return _spread(np.log(model.predict_proba(z)), model.classes_, num_outputs)

    return predict


def _spread(logits: np.ndarray, classes: np.ndarray, num_outputs: int) -> np.ndarray:
    """Place the columns of the classes that training has among all, `(M, K)`."""
    found = np.full((len(logits), num_outputs), ABSENT)
    found[:, classes] = logits
    return found
