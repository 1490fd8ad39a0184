"""Metrics of the predicted class, with scikit-learn's definitions; the positive of two classes is 1, or the second."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.metrics.sums import Share, Sums, exact


def classes(outputs: Tensor, targets: Tensor, cut: float = 0.0) -> tuple[Tensor, Tensor, int]:
    """Return predicted and true classes, each `(N,)`, and the number of classes; a mixed target is its largest.

    The positive of two classes is predicted for logits above `cut`.
    """
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > cut).long(), (targets > 0.5).flatten().long(), 2
    true = targets.argmax(1) if targets.ndim == 2 else targets
    return outputs.max(1).indices, true, outputs.shape[1]  # faster than argmax on a CPU


class Accuracy(Share):
    """Share of examples whose highest score is that of the true class."""

    cut = 0.0

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, _ = classes(outputs, targets, self.cut)
        return [predicted == true, torch.ones_like(true)]


class Top(Share):
    """Share of examples whose true class is among the `k` highest scores."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        _, true, _ = classes(outputs, targets)
        return [(outputs.topk(self.k).indices == true[:, None]).any(1), torch.ones_like(true)]


class _Counts(Sums):
    """A function of three numbers per class, each `(..., K)`: examples predicted right, all predicted, all true."""

    cut = 0.0

    def _added(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, num_classes = classes(outputs, targets, self.cut)
        counts = torch.zeros(3, num_classes, dtype=torch.int64, device=true.device)
        right, ones = (predicted == true).long(), torch.ones_like(true)
        # bincount or a mask would make the host wait for a GPU, to learn the size of the result.
        for count, found, each in zip(counts, (true, predicted, true), (right, ones, ones), strict=True):
            count.index_add_(0, found, each)
        return [*exact(counts)]

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, num_classes = classes(outputs, targets, self.cut)
        is_predicted, is_true = F.one_hot(predicted, num_classes), F.one_hot(true, num_classes)
        return [is_predicted * is_true, is_predicted, is_true]


def cut_at(metrics: Iterable[object], threshold: float) -> None:
    """Have those metrics of predicted classes predict the positive of two for probabilities above the threshold."""
    for metric in metrics:
        if isinstance(metric, Accuracy | _Counts):
            metric.cut = math.log(threshold / (1 - threshold))


def _mean_where(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over the classes of those that `counts` has, `(..., K)` -> `(...)`."""
    occurs = counts > 0
    return torch.where(occurs, values, 0).sum(-1) / occurs.sum(-1)


class F1Macro(_Counts):
    """Harmonic mean of precision and recall of each class, averaged over the classes that occur.

    van Rijsbergen (1979), Information Retrieval, chapter 7.
    """

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, predicted, true = sums
        return _mean_where(2 * hits / (predicted + true), predicted + true)


class F1(_Counts):
    """Harmonic mean of precision and recall of the positive class; 0 if it neither occurs nor is predicted."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, predicted, true = (counts[..., 1] for counts in sums)
        return 2 * hits / (predicted + true).clamp_min(1)


class PrecisionMacro(_Counts):
    """Share of the examples predicted as a class that are of it, averaged over the classes that occur."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, predicted, true = sums
        return _mean_where(hits / predicted.clamp_min(1), predicted + true)


class RecallMacro(_Counts):
    """Share of the examples of a class that are predicted as it, averaged over the classes that occur."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, predicted, true = sums
        return _mean_where(hits / true.clamp_min(1), predicted + true)


class BalancedAccuracy(_Counts):
    """Recall averaged over the true classes, so that a rare one counts as much as a frequent one."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, _, true = sums
        return _mean_where(hits / true, true)


class Precision(_Counts, Share):
    """Share of the examples predicted as positive that are; 0 if there are none."""

    def _parts(self, sums: list[Tensor]) -> tuple[Tensor, Tensor]:
        return sums[0][..., 1], sums[1][..., 1]


class Recall(_Counts, Share):
    """Share of the positive examples that are predicted as positive; 0 if there are none."""

    def _parts(self, sums: list[Tensor]) -> tuple[Tensor, Tensor]:
        return sums[0][..., 1], sums[2][..., 1]


class MCC(_Counts):
    """Matthews correlation coefficient of predicted and true classes, 0 if either is constant (Gorodkin 2004)."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        hits, predicted, true = sums
        squared = true.sum(-1).square()
        covariance = hits.sum(-1) * true.sum(-1) - (predicted * true).sum(-1)
        spread = (squared - predicted.square().sum(-1)) * (squared - true.square().sum(-1))
        return torch.where(spread > 0, covariance / spread.sqrt(), 0.0)
