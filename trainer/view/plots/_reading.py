"""What several pictures read off a finished run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainer.view.outcome import Outcome

POINTS = 3000  # of a cloud of points: more of them only take time


def title(outcome: Outcome, text: str) -> str:
    """Begins with what was trained on what."""
    return f"{outcome.names['model']} on {outcome.names['data']}: {text}"


def has_classes(outcome: Outcome) -> bool:
    """Whether the task has classes to be told apart."""
    return outcome.spec.task != "regression"


def class_names(outcome: Outcome) -> list[str]:
    """One line each; numbers where the data has no names."""
    number = max(2, outcome.spec.out_features)
    names = outcome.spec.class_names or [str(index) for index in range(number)]
    return [" ".join(name.split()) for name in names]


def probabilities(outcome: Outcome) -> Tensor:
    """Of the classes, `(N, K)`, two columns for two classes; an output that is no number counts as 0."""
    return of_classes(outcome.outputs)


def of_classes(outputs: Tensor) -> Tensor:
    """Logits `(N, K)` or `(N, 1)` as probabilities of the classes, `(N, K)` or `(N, 2)`."""
    outputs = outputs.double().nan_to_num()
    if outputs.shape[1] == 1:
        second = outputs.sigmoid()
        return torch.cat([1 - second, second], 1)
    return outputs.softmax(1)


def true_classes(outcome: Outcome) -> Tensor:
    """Class numbers `(N,)` of the test split."""
    return (outcome.targets > 0.5).flatten().long() if outcome.spec.out_features == 1 else outcome.targets


def values(outcome: Outcome) -> tuple[Tensor, Tensor]:
    """Predictions and truth of a regression in the units of the file, `(N,)` each, where the prediction is a number."""
    said, true = (outcome.spec.in_units(part.double()).flatten() for part in (outcome.outputs, outcome.targets))
    return said[said.isfinite()], true[said.isfinite()]


def some(number: int, most: int = POINTS) -> Tensor:
    """Evenly spaced indices of `number` things, `most` at most."""
    return torch.linspace(0, number - 1, min(number, most), dtype=torch.float64).round().long()


def eager(outcome: Outcome) -> nn.Module:
    """A copy of the model to evaluate, without a compiled graph: that would be compiled again for each new shape."""
    return copy.deepcopy(outcome.model).eval()


def training_batch(
    outcome: Outcome, model: Callable[[Tensor], Tensor], most: int, seconds: float
) -> tuple[Tensor, Tensor]:
    """Training examples, not augmented, from all over the split: `most`, or as many as `model` reads in `seconds`."""

    def read(number: int) -> tuple[Tensor, Tensor]:
        index = some(len(loader.targets), number)
        targets = loader.targets[index.to(loader.targets.device)]
        return loader.prepare(loader.stored(index).to(targets.device)), targets

    loader, few = outcome.data.train, 16
    with torch.no_grad():
        model(read(1)[0])  # the first call of all takes longer
        start = time.perf_counter()
        model(read(few)[0])
    affordable = int(few * seconds / (time.perf_counter() - start))
    return read(max(1, min(most, affordable)))
