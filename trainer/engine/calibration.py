"""What turns outputs into probabilities and decisions, chosen on the validation split: temperature and threshold."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 60  # halvings of the interval: more than double precision tells apart
COLDEST, HOTTEST = 0.05, 20.0  # temperatures


class Decision(NamedTuple):
    """A temperature that divides logits, and the probability above which the second of two classes is predicted."""

    temperature: float = 1.0
    threshold: float = 0.5
    notes: tuple[str, ...] = ()


class Calibrated(nn.Module):
    """A classifier whose logits are divided by a temperature."""

    temperature: Tensor  # ()

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `(B, K)`."""
        return self.model(inputs) / self.temperature


def decision(outputs: Tensor, targets: Tensor, calibrate: str, threshold: float | str, miss_cost: float) -> Decision:
    """Choose on the validation split: logits `(N, K)`, or `(N, 1)` for two classes, and targets `(N,)` or `(N, 1)`.

    `threshold` is a probability, or auto, which finds the highest f1 or, with a `miss_cost`, the lowest cost.
    """
    temperature, notes = 1.0, []
    outputs = outputs.double().cpu()
    if calibrate == "temperature":
        temperature = best_temperature(outputs, targets)
        losses = [log_loss(outputs / each, targets) for each in (1.0, temperature)]
        at_end = "; the validation split alone does not bound it" if temperature in (COLDEST, HOTTEST) else ""
        notes.append(f"temperature {temperature:.4g}: validation log loss {losses[0]:.4g} -> {losses[1]:.4g}{at_end}")
    if threshold == "auto":
        chances = (outputs[:, 0] / temperature).sigmoid()
        threshold = best_threshold(chances, targets.flatten().cpu() > 0.5, miss_cost)
        by = f"lowest cost of {miss_cost:g} for a miss and 1 for a false alarm" if miss_cost else "highest f1"
        notes.append(f"threshold {threshold:.4g}: the {by} on the validation split")
    return Decision(temperature, float(threshold), tuple(notes))


def log_loss(outputs: Tensor, targets: Tensor) -> float:
    """Return the mean negative log-likelihood of logits."""
    targets = targets.to(outputs.device)
    if outputs.shape[1] == 1:
        return float(F.binary_cross_entropy_with_logits(outputs, targets.double().reshape(-1, 1)))
    return float(F.cross_entropy(outputs, targets))


def best_temperature(outputs: Tensor, targets: Tensor) -> float:
    """Return the temperature of the lowest log loss (Guo et al. 2017, On Calibration of Modern Neural Networks).

    The loss is convex in the inverse temperature, whose derivative is bisected.
    """
    logits = torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs.double()
    labels = targets.flatten().long().cpu()[:, None]
    true = logits.gather(1, labels)[:, 0]

    def slope(inverse: float) -> float:
        return float(((logits * inverse).softmax(1) * logits).sum(1).sub(true).mean())

    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    if slope(math.exp(low)) >= 0:
        return HOTTEST
    if slope(math.exp(high)) <= 0:
        return COLDEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def best_threshold(chances: Tensor, positive: Tensor, miss_cost: float = 0.0) -> float:
    """Return the threshold of the highest f1 of `positive` `(N,)`, or of the lowest cost if a miss has one.

    It lies half way between two probabilities of the split, and of equally good ones nearest to 0.5.
    """
    order = chances.argsort(descending=True)
    scores, hits = chances[order], positive[order].double().cumsum(0)
    ends = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])
    scores, hits, predicted = scores[ends], hits[ends], (torch.arange(len(order), dtype=torch.float64) + 1)[ends]
    total = positive.sum()
    worth = -(predicted - hits + miss_cost * (total - hits)) if miss_cost else 2 * hits / (predicted + total)
    between = torch.cat([(scores[:-1] + scores[1:]) / 2, scores[-1:] / 2])
    if miss_cost:  # to predict none is possible too
        worth = torch.cat([-miss_cost * total[None], worth])
        between = torch.cat([(1 + scores[:1]) / 2, between])
    best = (worth == worth.max()).nonzero().flatten()
    return float(between[best[(between[best] - 0.5).abs().argmin()]].clamp(1e-6, 1 - 1e-6))
