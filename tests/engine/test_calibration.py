"""Temperature and threshold, chosen on the validation split."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, log_loss

from trainer.engine.calibration import COLDEST, HOTTEST, best_temperature, best_threshold, decision

RNG = np.random.default_rng(0)


def made(num_outputs, scale, count=400):
    """Return logits that are `scale` times too large, and targets."""
    logits = torch.from_numpy(RNG.normal(size=(count, num_outputs)) * 2)
    if num_outputs == 1:
        targets = (torch.from_numpy(RNG.random((count, 1))) < logits.sigmoid()).float()
    else:
        targets = torch.tensor([RNG.choice(num_outputs, p=row) for row in logits.softmax(1).numpy()])
    return logits * scale, targets


@pytest.mark.parametrize(("num_outputs", "scale"), [(1, 3.0), (1, 0.5), (4, 2.5)])
def test_the_temperature_minimises_scikit_learns_log_loss(num_outputs, scale):
    outputs, targets = made(num_outputs, scale)
    labels = targets.flatten().long().numpy()

    def loss(log_temperature):
        logits = outputs / np.exp(log_temperature)
        chances = logits.sigmoid().flatten() if num_outputs == 1 else logits.softmax(1)
        return log_loss(labels, chances.numpy())

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}).x)
    found = best_temperature(outputs, targets)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found == pytest.approx(scale, rel=0.35)


def test_a_temperature_that_nothing_bounds_is_a_bound_and_said():
    outputs = torch.tensor([[2.0], [-1.0]])
    assert best_temperature(outputs, torch.tensor([[1.0], [0.0]])) == COLDEST
    assert best_temperature(outputs, torch.tensor([[0.0], [1.0]])) == HOTTEST
    (note,) = decision(outputs, torch.tensor([[1.0], [0.0]]), "temperature", 0.5, 0.0).notes
    assert "does not bound it" in note


@pytest.mark.parametrize("miss_cost", [0.0, 0.2, 5.0, 100.0])
def test_the_threshold_is_the_best_of_all(miss_cost):
    chances = torch.from_numpy(RNG.random(200)).round(decimals=2)  # with ties
    positive = torch.from_numpy(RNG.random(200)) < chances**2

    def worth(threshold):
        predicted = chances > threshold
        misses, alarms = (positive & ~predicted).sum(), (predicted & ~positive).sum()
        return -float(miss_cost * misses + alarms) if miss_cost else f1_score(positive, predicted, zero_division=0)

    found = best_threshold(chances, positive, miss_cost)
    assert worth(found) == pytest.approx(max(worth(each) for each in np.linspace(-0.001, 1, 402)))
    assert not (chances == found).any()


def test_f1_and_no_cost_where_no_prediction_is_worth_it():
    chances, positive = torch.tensor([0.9, 0.8, 0.1]), torch.tensor([False, False, True])
    assert best_threshold(chances, positive, 0.5) > 0.9
    assert best_threshold(chances, positive) < 0.1
