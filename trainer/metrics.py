"""Streaming metrics: sums and counts on the device, never means of means.

Each has torchmetrics' `reset / update / compute` and `higher_is_better`, so that a torchmetrics class can stand in;
importing torchmetrics takes longer than a small run. `outputs` are logits `(N, K)` for K classes, one logit `(N, 1)`
for two, values `(N, 1)` for regression. `targets` are class numbers `(N,)` int64, or `(N, 1)` float.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


class Metric(Protocol):
    """What a `Meter` needs from a metric; its state is tensors and lists of tensors."""

    higher_is_better: bool

    def reset(self) -> None:
        """Forget all examples."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""

    def compute(self) -> Tensor:
        """Return the metric over all of them, one number."""


class _Sums(Metric):
    """A function of sums over the examples: `_terms` returns what a call adds to them, `compute` the result."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.sums: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""
        terms = [exact(term).sum(0) for term in self._terms(outputs, targets)]
        self.sums = [a + b for a, b in zip(self.sums, terms, strict=True)] if self.sums else terms

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """Return tensors whose first dimension runs over the examples."""
        raise NotImplementedError


class _Mean(_Sums):
    """The mean over the examples of what `_values` returns for each."""

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        values = self._values(outputs, targets)
        return [values, torch.ones_like(values)]

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def compute(self) -> Tensor:
        """Return the mean over the examples so far, shape `()`, or `(1,)` for values."""
        return self.sums[0] / self.sums[1]


def exact(values: Tensor) -> Tensor:
    """Convert to double precision, or to single where the device has no double (Apple's GPUs)."""
    return values.float() if values.device.type == "mps" else values.double()


class MSE(_Mean):
    """Mean squared error, in squared units of the target."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (exact(outputs) - exact(targets)).square()


class RMSE(MSE):
    """Root of the mean squared error, in units of the target."""

    def compute(self) -> Tensor:
        """Return the root of the mean over the examples so far, shape `(1,)`."""
        return super().compute().sqrt()


class MAE(_Mean):
    """Mean absolute error, in units of the target."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (exact(outputs) - exact(targets)).abs()


class R2(_Sums):
    """Coefficient of determination: 1 - residual / total sum of squares; NaN where all targets are equal."""

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        y = exact(targets)
        if not self.sums:
            self.origin = y.mean()  # squares of large targets would lose a small spread to rounding
        shifted = y - self.origin
        return [(exact(outputs) - y).square(), shifted.square(), shifted, torch.ones_like(y)]

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `(1,)`."""
        residual, squares, total, count = self.sums
        spread = squares - total.square() / count
        return torch.where(spread > 1e-12 * squares, 1 - residual / spread, torch.nan)


def _classes(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return predicted and true classes, each `(N,)`, and the number of classes; a mixed target is its largest."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long(), (targets > 0.5).flatten().long(), 2
    true = targets.argmax(1) if targets.ndim == 2 else targets
    return outputs.max(1).indices, true, outputs.shape[1]  # faster than argmax on a CPU


class Accuracy(_Mean):
    """Share of examples whose highest score is that of the true class."""

    higher_is_better = True

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        predicted, true, _ = _classes(outputs, targets)
        return predicted == true


class Top5(_Mean):
    """Share of examples whose true class is among the five highest scores."""

    higher_is_better = True

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _, true, _ = _classes(outputs, targets)
        return (outputs.topk(5).indices == true[:, None]).any(1)


class F1Macro(_Sums):
    """Harmonic mean of precision and recall of each class, averaged over the classes that occur.

    It is scikit-learn's `f1_score(average="macro")`; van Rijsbergen (1979), Information Retrieval, chapter 7.
    """

    higher_is_better = True

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, num_classes = _classes(outputs, targets)
        counts = torch.zeros(3, 1, num_classes, dtype=torch.int64, device=true.device)
        right, ones = (predicted == true).long(), torch.ones_like(true)
        # bincount or a mask would make the host wait for a GPU, to learn the size of the result.
        for count, classes, each in zip(counts, (true, predicted, true), (right, ones, ones), strict=True):
            count[0].index_add_(0, classes, each)
        return list(counts)

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `()`."""
        hits, predicted, true = self.sums
        occurs = predicted + true > 0
        return (2 * hits[occurs] / (predicted + true)[occurs]).mean()


class F1(F1Macro):
    """Harmonic mean of precision and recall of the positive of two classes: 1, or the second in sorted order.

    It is scikit-learn's `f1_score` with its defaults: 0 if the class neither occurs nor is predicted.
    """

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `()`."""
        hits, predicted, true = (counts[1] for counts in self.sums)
        return 2 * hits / (predicted + true).clamp_min(1)


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
        """Return the metric over the examples so far, shape `()`; NaN if a class is absent."""
        positive = torch.cat(self.targets)
        _, place, counts = torch.cat(self.scores).unique(return_inverse=True, return_counts=True)
        rank = exact(counts.cumsum(0) - (counts - 1) / 2)[place]  # mean rank of equal scores, from 1
        num_positive, num_negative = positive.sum(), (~positive).sum()
        above = rank[positive].sum() - num_positive * (num_positive + 1) / 2
        return above / (num_positive * num_negative)


METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "f1_macro": F1Macro,
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
    "multiclass": ("accuracy", "f1_macro"),
}
ON_REQUEST = {"binary": ("f1_macro",)}  # by task; not reported otherwise


def of_today(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return values by today's `names`: up to 0.1.0, `f1` was what `f1_macro` is now."""
    is_old = "f1_macro" in names and "f1" not in names
    return {"f1_macro" if is_old and name == "f1" else name: value for name, value in values.items()}
