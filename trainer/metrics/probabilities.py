"""Metrics of the predicted probabilities: how good they are, and how well their order tells the classes apart."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.metrics.classes import classes
from trainer.metrics.sums import Kept, Mean, Statistic, Sums, exact

BINS = 15  # of the confidence


class LogLoss(Mean):
    """Mean negative logarithm of the probability of the true class."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _, true, _ = classes(outputs, targets)
        if outputs.shape[1] == 1:
            return F.softplus(exact(outputs[:, 0]) * (1 - 2 * true))
        return F.cross_entropy(exact(outputs), true, reduction="none")


class Brier(Mean):
    """Mean squared error of the probability: of the positive one of two classes, summed over more (Brier 1950)."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        _, true, num_classes = classes(outputs, targets)
        if outputs.shape[1] == 1:
            return (exact(outputs[:, 0]).sigmoid() - true).square()
        return (exact(outputs).softmax(1) - F.one_hot(true, num_classes)).square().sum(1)


class ECE(Sums):
    """Expected calibration error: the mean distance of accuracy and confidence in bins of the confidence.

    Guo et al. (2017), On Calibration of Modern Neural Networks; the bins are of equal width.
    """

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        predicted, true, _ = classes(outputs, targets)
        scores = exact(outputs)
        confidence = scores[:, 0].abs().sigmoid() if outputs.shape[1] == 1 else scores.softmax(1).amax(1)
        bins = F.one_hot((confidence * BINS).ceil().long().clamp(1, BINS) - 1, BINS)
        return [bins * (exact(predicted == true) - confidence)[:, None], torch.ones_like(confidence)[:, None]]

    def _value(self, sums: list[Tensor]) -> Tensor:
        excess, count = sums  # (..., BINS), (..., 1)
        return excess.abs().sum(-1) / count[..., 0]


class _Ranked(Kept):
    """A function of how many positive and negative examples there are above each threshold of a score.

    Of several classes it is the mean over each against the others, without those that have none.
    """

    def statistic(self, outputs: Tensor, targets: Tensor) -> Statistic:
        """Return the metric as a function of the examples' weights."""
        if outputs.shape[1] == 1:
            return self._of_one(outputs[:, 0], targets.flatten() > 0.5)
        _, true, num_classes = classes(outputs, targets)
        scores = exact(outputs).softmax(1)
        each = [self._of_one(scores[:, number], true == number) for number in range(num_classes)]
        return lambda weights: torch.stack([one(weights) for one in each]).nanmean(0)

    def _of_one(self, scores: Tensor, positive: Tensor) -> Statistic:
        count = _above(scores, positive)
        return lambda weights: self._area(*count(weights))

    def _area(self, true: Tensor, false: Tensor) -> Tensor:
        """Return the metric `(D,)` of the positive and negative examples above each threshold, each `(D, U + 1)`."""
        raise NotImplementedError


def _above(scores: Tensor, positive: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Sort `scores` `(N,)` once; return a function from weights `(D, N)` to the weights above each threshold.

    There are `U` different scores, and the highest threshold has nothing above it.
    """
    order = scores.argsort(descending=True)
    found, is_positive = scores[order], positive[order]
    ends = torch.cat([found[1:] != found[:-1], found.new_ones(1, dtype=torch.bool)]).nonzero()[:, 0]  # of equal scores

    def count(weights: Tensor) -> tuple[Tensor, Tensor]:
        drawn = weights.index_select(1, order)
        true, every = (drawn * is_positive).cumsum(1), drawn.cumsum(1)
        if len(ends) < len(order):
            true, every = true.index_select(1, ends), every.index_select(1, ends)
        counts = F.pad(true, (1, 0)), F.pad(every - true, (1, 0))
        return counts if weights.is_floating_point() else (exact(counts[0]), exact(counts[1]))

    return count


class AUC(_Ranked):
    """Area under the ROC curve, ties counted half (Hanley and McNeil 1982); NaN if a class is absent."""

    def _area(self, true: Tensor, false: Tensor) -> Tensor:
        return torch.trapezoid(true, false) / (true[:, -1] * false[:, -1])


class AveragePrecision(_Ranked):
    """Precision at each threshold, weighted by the recall it adds; NaN without positive examples."""

    def _area(self, true: Tensor, false: Tensor) -> Tensor:
        precision = true / (true + false).clamp_min(1)
        return (true.diff(dim=1) * precision[:, 1:]).sum(1) / true[:, -1]
