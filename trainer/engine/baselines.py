"""Baselines: a constant prediction, and models that are fitted in seconds to data in memory.

A network that does not beat them has learned nothing, or is not worth its time. All are fitted to the training split
and measured by the model's own meter. What a baseline may cost is a number of examples, the same on every machine: a
larger training split is sampled.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.data._vocabulary import PADDING, Vocabulary
from trainer.data.tensors import GATHERED, BatchLoader, DataSpec, TensorLoader
from trainer.engine import classical
from trainer.engine.classical import Predictor
from trainer.engine.loop import Loss
from trainer.engine.meter import Best, Meter
from trainer.errors import reason

# Numbers that about five seconds on one core allow.
LINEAR = 20_000_000  # inputs times outputs
SQUARED = 2_000_000_000  # inputs times features or examples, whichever are fewer
NGRAMS = 20_000_000  # n-grams times outputs
TREES, PER_TREE_S, PER_NUMBER_S, SECONDS = 100, 0.003, 7e-9, 5.0  # of gradient boosting, for each output
FEWEST = 500  # examples of a sample; a model of fewer says little
LEAF = 20  # examples, at least, in each leaf of gradient boosting: fewer than two leaves are a constant

Floor = Mapping[str, Mapping[str, float]]


class _Candidate(NamedTuple):
    name: str
    most: float  # training examples that it can be fitted to in time
    fit: Callable[[np.ndarray, np.ndarray], Predictor]  # inputs (N, F), targets (N,) -> model


def baselines(
    train: BatchLoader, test: BatchLoader, spec: DataSpec, loss: Loss, meter: Meter, seed: int
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the test metrics of each baseline by name, the simplest first; and notes on what was sampled or left out.

    The seed draws samples, and what is random in a baseline.
    """
    name, constant = _constant(train.targets, spec)
    truth = test.targets[: test.num_examples]

    def measure(outputs: Tensor) -> dict[str, float]:
        outputs = outputs.to(truth.device, truth.dtype if truth.is_floating_point() else torch.float32)
        meter.update(outputs, truth, loss(outputs, truth))
        return meter.compute()

    found = {name: measure(constant.expand(len(truth), -1))}
    notes: list[str] = []
    sampled: list[str] = []
    if not (isinstance(train, TensorLoader) and isinstance(test, TensorLoader)):
        return found, notes
    y = train.targets.flatten().cpu()
    y, number = y.double() if spec.task == "regression" else y.long(), len(y)
    tests_on_new = not torch.equal(train.inputs, test.inputs)
    for each in _candidates(train, spec, seed, tests_on_new=tests_on_new):
        index = _sample(number, each.most, seed)
        if len(index) < min(FEWEST, number):
            notes.append(f"{each.name} is left out: it would take long with {number:,} training examples")
            continue
        try:
            found[each.name] = measure(_outputs(each.fit, _inputs(train, index), y[index].numpy(), test))
        except Exception as error:  # a baseline never fails a run
            notes.append(f"{each.name} is left out: {reason(error)}")
            continue
        sampled += [f"{each.name} to {len(index):,}"] if len(index) < number else []
    if sampled:
        notes.append(f"fitted to a sample of the {number:,} training examples: {', '.join(sampled)}")
    return found, notes


def best_of(floor: Floor, best: Best) -> str:
    """Return the name of the baseline with the best monitored metric; NaN is never best."""
    known = {name: best.sign * metrics[best.monitor] for name, metrics in floor.items()}
    return max(known, key=lambda name: -math.inf if math.isnan(known[name]) else known[name], default="")


def _constant(targets: Tensor, spec: DataSpec) -> tuple[str, Tensor]:
    """Return the best outputs `(K,)` that do not depend on the inputs, and their name."""
    if spec.task == "multiclass":
        shares = torch.bincount(targets, minlength=spec.out_features).double() / len(targets)
        return "majority class", shares.log().clamp_min(-30).float()
    if spec.task == "binary":
        return "majority class", torch.logit(targets.double().mean(), eps=1e-9).float()[None]
    return "mean", targets.mean(0)


def _candidates(train: TensorLoader, spec: DataSpec, seed: int, *, tests_on_new: bool) -> Iterator[_Candidate]:
    """Yield what can be fitted to this kind of data.

    Linear models do for data with known parameters, and where the training examples are tested, which others memorise.
    """
    has_classes, outputs, numbers = spec.task != "regression", spec.out_features, math.prod(spec.in_shape)
    number = len(train.targets)
    if has_classes and len(train.targets.unique()) < 2:
        return
    if spec.kind == "tokens":
        if has_classes and tests_on_new:
            is_characters = isinstance(spec.encoder, Vocabulary) and spec.encoder.unit == "characters"
            longest = 4 if is_characters else 2
            length = float((train.inputs != PADDING).sum() / number)
            fit = partial(classical.ngrams, num_outputs=outputs, longest=longest, seed=seed)
            yield _Candidate("logistic regression on n-grams", NGRAMS / max(1, longest * length * outputs), fit)
        return
    if spec.kind == "image" and has_classes:
        yield _Candidate("nearest class mean", LINEAR / numbers, partial(classical.nearest_mean, num_outputs=outputs))
    if has_classes:
        fit = partial(classical.logistic_regression, num_outputs=outputs)
        yield _Candidate("logistic regression", LINEAR / (numbers * outputs), fit)
    else:
        is_cheap = number * numbers * min(number, numbers) <= SQUARED
        most = min(LINEAR / numbers, number if is_cheap else SQUARED / numbers**2)
        yield _Candidate("least squares", most, classical.least_squares)
    if spec.kind == "features" and tests_on_new and not spec.true_parameters and number >= 2 * LEAF:
        most = (SECONDS / (TREES * outputs) - PER_TREE_S) / (PER_NUMBER_S * numbers)
        fit = partial(classical.boosting, num_outputs=outputs, has_classes=has_classes, seed=seed)
        yield _Candidate("gradient boosting", most, fit)


def _sample(number: int, most: float, seed: int) -> Tensor:
    """Return the sorted indices of all examples or, if there are more than `most`, of a sample."""
    if number <= most:
        return torch.arange(number)
    return torch.randperm(number, generator=torch.Generator().manual_seed(seed))[: max(0, int(most))].sort().values


def _outputs(
    fit: Callable[[np.ndarray, np.ndarray], Predictor], x: np.ndarray, y: np.ndarray, test: TensorLoader
) -> Tensor:
    """Fit to training examples, and return the outputs `(M, K)` on the test split."""
    at_once = max(1, GATHERED // math.prod(test.inputs.shape[1:]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a solver that stops at its last iteration
        predict = fit(x, y)
        parts = torch.arange(test.num_examples).split(at_once)
        return torch.cat([torch.from_numpy(predict(_inputs(test, part))) for part in parts])


def _inputs(loader: TensorLoader, index: Tensor) -> np.ndarray:
    """Return token numbers `(N, L)`, or other inputs as the model reads them, flat: `(N, F)` float64."""
    stored = loader.inputs[index.to(loader.inputs.device)]
    prepared = loader.prepare(stored).flatten(1).cpu()
    return prepared.double().numpy() if prepared.is_floating_point() else prepared.numpy()
