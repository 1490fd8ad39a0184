"""Permutation importance: how much worse a model predicts when a column is shuffled among the examples.

Breiman (2001), Random Forests; Fisher, Rudin and Dominici (2019), All Models are Wrong, but Many are Useful.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.data._table.encoder import TableEncoder
from trainer.data.tensors import BatchLoader, DataSpec
from trainer.engine.loop import Batch, Loss, evaluate
from trainer.engine.meter import Meter

REPEATS = 10
STUDENT_T = 2.262157  # 97.5 % quantile with 9 degrees of freedom


@dataclass(frozen=True)
class Judge:
    """Measures a model by one metric."""

    model: nn.Module
    loss: Loss
    meter: Meter
    autocast: AbstractContextManager
    metric: str
    sign: float  # 1 if higher values are better, else -1

    def __call__(self, batches: Iterable[Batch]) -> float:
        """Return the metric over all examples."""
        return evaluate(self.model, self.loss, batches, self.meter, autocast=self.autocast)[self.metric]


class Importance(NamedTuple):
    """How much worse the metric gets without a column: a mean over shuffles, and its 95 % interval (Student's t).

    The interval is about the shuffles, not about other test examples.
    """

    name: str
    drop: float
    low: float
    high: float


def columns_of(spec: DataSpec) -> dict[str, list[int]]:
    """Map each column of a table to its inputs: its number, its categories, and whether it is missing."""
    if not isinstance(spec.encoder, TableEncoder):
        names = spec.feature_names or tuple(f"input {number}" for number in range(1, 1 + spec.in_shape[0]))
        return {name: [place] for place, name in enumerate(names)}
    found: dict[str, list[int]] = {}
    start = 0
    for column in spec.encoder.columns:
        end = start + len(column.inputs)
        found.setdefault(column.name, []).extend(range(start, end))
        start = end
    return found


def importances(
    judge: Judge, loader: BatchLoader, columns: Mapping[str, Sequence[int]], seed: int, index: Tensor | None = None
) -> tuple[list[Importance], float]:
    """Shuffle each column in turn, and return the importances, largest first, and the metric of the unshuffled data.

    Args:
        judge: measures the model.
        loader: examples that the model has not been trained on, features `(N, F)`.
        columns: name -> its inputs among the F, which are shuffled together.
        seed: of the shuffles, which are the same for all columns.
        index: the examples to use, `(M,)`; by default all.
    """
    index = torch.arange(loader.num_examples) if index is None else index
    stored, targets = loader.stored(index), loader.targets[index.to(loader.targets.device)]
    size = max(loader.sizes)

    def batches(inputs: Tensor) -> Iterator[Batch]:
        for some, truth in zip(inputs.split(size), targets.split(size), strict=True):
            yield loader.prepare(some.to(targets.device)), truth

    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(index), generator=generator) for _ in range(REPEATS)]
    score = judge(batches(stored.clone()))
    found = []
    for name, inputs in columns.items():
        drops = []
        for order in orders:
            shuffled = stored.clone()
            shuffled[:, inputs] = stored[order][:, inputs]
            drops.append(judge.sign * (score - judge(batches(shuffled))))
        found.append(_summary(name, drops))
    return sorted(found, key=lambda each: -each.drop), score


def _summary(name: str, drops: list[float]) -> Importance:
    mean = sum(drops) / len(drops)
    variance = sum((drop - mean) ** 2 for drop in drops) / (len(drops) - 1)
    half = STUDENT_T * math.sqrt(variance / len(drops))
    return Importance(name, mean, mean - half, mean + half)
