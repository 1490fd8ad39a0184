"""What several pictures read from a finished run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainer.view.outcome import Outcome

POINTS = 3000  # in a scatter plot: more only take time


def title(outcome: Outcome, text: str) -> str:
    """Put the model and the data before `text`."""
    return f"{outcome.names['model']} on {outcome.names['data']}: {text}"


def has_classes(outcome: Outcome) -> bool:
    """Return whether the task is a classification."""
    return outcome.spec.task != "regression"


def class_names(outcome: Outcome) -> list[str]:
    """Return the name of each class on one line, or its number where the data has no names."""
    names = outcome.spec.class_names or map(str, range(max(2, outcome.spec.out_features)))
    return [" ".join(name.split()) for name in names]


def probabilities(logits: Tensor) -> Tensor:
    """Turn logits `(N, K)` or `(N, 1)` into class probabilities `(N, K)` or `(N, 2)`; NaN counts as a logit of 0."""
    logits = logits.double().nan_to_num()
    if logits.shape[1] == 1:
        second = logits.sigmoid()
        return torch.cat([1 - second, second], 1)
    return logits.softmax(1)


def true_classes(outcome: Outcome) -> Tensor:
    """Return the class numbers `(N,)` of the test split."""
    return (outcome.targets > 0.5).flatten().long() if outcome.spec.out_features == 1 else outcome.targets


def evenly_spaced(number: int, most: int = POINTS) -> Tensor:
    """Return at most `most` evenly spaced indices below `number`."""
    return torch.linspace(0, number - 1, min(number, most), dtype=torch.float64).round().long()


def eager(outcome: Outcome) -> nn.Module:
    """Copy the model for evaluation, without its compiled graph, which would recompile for every new shape."""
    return copy.deepcopy(outcome.model).eval()


def training_batch(
    outcome: Outcome, model: Callable[[Tensor], Tensor], most: int, seconds: float
) -> tuple[Tensor, Tensor]:
    """Return training examples from all over the split, without augmentation.

    There are `most` of them, or as many as `model` evaluates in `seconds`.
    """

    def read(number: int) -> tuple[Tensor, Tensor]:
        index = evenly_spaced(len(loader.targets), number)
        targets = loader.targets[index.to(loader.targets.device)]
        return loader.prepare(loader.stored(index).to(targets.device)), targets

    loader, few = outcome.data.train, 16
    with torch.no_grad():
        model(read(1)[0])  # the first call is slower
        start = time.perf_counter()
        model(read(few)[0])
    affordable = int(few * seconds / (time.perf_counter() - start))
    return read(max(1, min(most, affordable)))
