"""Streaming metrics: sums and counts on the device, never means of means.

Each has torchmetrics' `reset / update / compute` and `higher_is_better`, so that one of theirs can stand in for
one of ours; importing torchmetrics takes longer than a small run. In all of them `outputs` are the model's:
logits `(N, K)` for K classes, one logit `(N, 1)` for two classes, values `(N, 1)` for regression. `targets` are
class numbers `(N,)` int64, or `(N, 1)` float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


class Metric(Protocol):
    """What a `Meter` needs of a metric; all it knows of its examples are tensors, and lists of them."""

    higher_is_better: bool

    def reset(self) -> None:
        """Forget all examples."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""

    def compute(self) -> Tensor:
        """The metric over all of them, one number."""


class _Sums(Metric):
    """A function of sums over the examples; `_terms` gives what one call adds to them, `compute` the function."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.sums: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""
        terms = [_exact(term).sum(0) for term in self._terms(outputs, targets)]
        self.sums = [a + b for a, b in zip(self.sums, terms, strict=True)] if self.sums else terms

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """Tensors whose first dimension runs over the examples."""
        raise NotImplementedError


def _exact(values: Tensor) -> Tensor:
    """In double precision, where the device has it (Apple's GPUs do not)."""
    return values.float() if values.device.type == "mps" else values.double()


def _wide(values: Tensor) -> Tensor:
    """Class numbers as they are; before floats are given large units, they need the digits."""
    return _exact(values) if values.is_floating_point() else values


class MSE(_Sums):
    """Mean squared error, in squared units of the target."""

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        error = _exact(outputs) - _exact(targets)
        return [error.square(), torch.ones_like(error)]

    def compute(self) -> Tensor:
        """Mean over the examples so far, shape `(1,)`."""
        return self.sums[0] / self.sums[1]


class RMSE(MSE):
    """Root of the mean squared error, in units of the target."""

    def compute(self) -> Tensor:
        """Root of the mean over the examples so far, shape `(1,)`."""
        return super().compute().sqrt()


class MAE(MSE):
    """Mean absolute error, in units of the target."""

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        error = _exact(outputs) - _exact(targets)
        return [error.abs(), torch.ones_like(error)]


class R2(_Sums):
    """Coefficient of determination: 1 - residual / total sum of squares; NaN where all targets are equal."""

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        y = _exact(targets)
        if not self.sums:
            self.origin = y.mean()  # large targets with a small spread would lose it in their squares
        shifted = y - self.origin
        return [(_exact(outputs) - y).square(), shifted.square(), shifted, torch.ones_like(y)]

    def compute(self) -> Tensor:
        """Over the examples so far, shape `(1,)`."""
        residual, squares, total, count = self.sums
        spread = squares - total.square() / count
        return torch.where(spread > 1e-12 * squares, 1 - residual / spread, torch.nan)


def _classes(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """Predicted and true class numbers, each `(N,)`, and how many classes there are."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long(), targets.flatten().long(), 2
    return outputs.argmax(1), targets, outputs.shape[1]


class Accuracy(_Sums):
    """Share of examples whose highest score is that of the true class."""

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, _ = _classes(outputs, targets)
        right = predicted == true
        return [right, torch.ones_like(right)]

    def compute(self) -> Tensor:
        """Over the examples so far, shape `()`."""
        return self.sums[0] / self.sums[1]


class Top5(_Sums):
    """Share of examples whose true class is among the five highest scores."""

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        right = (outputs.topk(5).indices == targets[:, None]).any(1)
        return [right, torch.ones_like(right)]

    def compute(self) -> Tensor:
        """Over the examples so far, shape `()`."""
        return self.sums[0] / self.sums[1]


class F1(_Sums):
    """Harmonic mean of precision and recall, averaged over the classes that occur (macro)."""

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, num_classes = _classes(outputs, targets)
        hits = predicted[predicted == true]
        return [torch.bincount(c, minlength=num_classes)[None] for c in (hits, predicted, true)]

    def compute(self) -> Tensor:
        """Over the examples so far, shape `()`."""
        hits, predicted, true = self.sums
        occurs = predicted + true > 0
        return (2 * hits[occurs] / (predicted + true)[occurs]).mean()


class AUC(Metric):
    """Area under the ROC curve of two classes, by ranks, ties counted half (Hanley and McNeil 1982)."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.scores: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples; they are kept, since ranks need them all."""
        self.scores.append(outputs.flatten())
        self.targets.append(targets.flatten() > 0.5)

    def compute(self) -> Tensor:
        """Over the examples so far, shape `()`; NaN where one class is absent."""
        positive = torch.cat(self.targets)
        _, place, counts = torch.cat(self.scores).unique(return_inverse=True, return_counts=True)
        rank = _exact(counts.cumsum(0) - (counts - 1) / 2)[place]  # mean rank of equal scores, from 1
        num_positive, num_negative = positive.sum(), (~positive).sum()
        above = rank[positive].sum() - num_positive * (num_positive + 1) / 2
        return above / (num_positive * num_negative)


METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "top5": Top5,
    "auc": AUC,
    "mse": MSE,
    "rmse": RMSE,
    "mae": MAE,
    "r2": R2,
}
OF_TASK = {
    "regression": ("mse", "rmse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auc"),
    "multiclass": ("accuracy", "f1"),
}


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _to(value: Any, device: torch.device) -> Any:
    """Every tensor in lists and dictionaries on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [_to(item, device) for item in value]
    return {key: _to(item, device) for key, item in value.items()} if isinstance(value, dict) else value


class Meter:
    """Loss and metrics over many batches.

    Batches are kept and added up 64 at a time: a metric costs a few operations, which is much beside a small
    model's step and nothing beside 64 of them. `in_units` undoes the standardisation of regression targets.
    """

    def __init__(
        self, metrics: Mapping[str, Metric], in_units: Callable[[Tensor], Tensor] = lambda values: values
    ) -> None:
        self.metrics, self.in_units = dict(metrics), in_units
        self.names = ["loss", *metrics]
        self._reset()

    def _reset(self) -> None:
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self.loss: Tensor | float = 0.0
        self.num_examples = 0
        for metric in self.metrics.values():
            metric.reset()

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch and its mean loss."""
        self.kept.append((outputs.detach(), targets, loss.detach()))
        if len(self.kept) == 64:
            self._add_up()

    def _add_up(self) -> None:
        outputs, targets, losses = zip(*self.kept, strict=True)
        sizes = torch.tensor([len(t) for t in targets], device=losses[0].device)
        self.loss = self.loss + (_exact(torch.stack(losses)) * sizes).sum()
        self.num_examples += sum(len(t) for t in targets)
        all_outputs, all_targets = (self.in_units(_wide(torch.cat(parts))) for parts in (outputs, targets))
        for metric in self.metrics.values():
            metric.update(all_outputs, all_targets)
        self.kept = []

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last `compute`, as it is kept."""
        metrics = {name: {k: _copy(v) for k, v in vars(metric).items()} for name, metric in self.metrics.items()}
        return {"kept": [list(batch) for batch in self.kept], "metrics": metrics} | {
            "loss": self.loss,
            "num_examples": self.num_examples,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on adding to that."""
        state = _to(state, device)
        self.kept = [(outputs, targets, loss) for outputs, targets, loss in state["kept"]]
        self.loss, self.num_examples = state["loss"], state["num_examples"]
        for name, metric in self.metrics.items():
            vars(metric).update(state["metrics"][name])

    def compute(self) -> dict[str, float]:
        """Name -> value over all examples since the last call, `loss` first; starts anew."""
        if self.kept:
            self._add_up()
        values = {"loss": self.loss / self.num_examples} | {n: m.compute() for n, m in self.metrics.items()}
        self._reset()
        return {name: float(value) for name, value in values.items()}
