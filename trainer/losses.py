"""Classification losses with class weights, and which loss fits which task; the other losses are torch's own.

Each is a mean over the `B` examples of a batch, weighted or not, so that accumulated batches and whole splits add up.
torch divides by the sum of the weights in a batch instead, which depends on how the examples are batched.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weight = Sequence[float] | Literal["balanced"] | None  # one number per class; `balanced` is N / (K * count)


class _Classes(nn.Module):
    """Mean over the examples of a loss times the weight of the example's class."""

    weight: Tensor | None

    def __init__(self, class_counts: Sequence[int], weight: Weight = None) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64)
        if isinstance(weight, str) and weight != "balanced":
            raise ValueError(f"weight={weight}: expected balanced, or a list of {len(counts)} numbers")
        if weight == "balanced":
            weight = (counts.sum() / (len(counts) * counts.clamp_min(1))).tolist()
        if weight is not None:
            usable = len(weight) == len(counts) and all(0 <= w < math.inf for w in weight) and any(weight)
            if not usable:
                raise ValueError(
                    f"weight={list(weight)}: expected {len(counts)} numbers, one per class, at least 0 and not all 0"
                )
        self.register_buffer("weight", None if weight is None else torch.tensor(weight), persistent=False)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, shape `()`; targets are classes or, if examples are mixed, probabilities `(B, K)`."""
        return self._loss(outputs, targets, "mean") if self.weight is None else self.of_each(outputs, targets).mean()

    def of_each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each example, shape `(B,)`."""
        each = self._loss(outputs, targets, "none").flatten()
        if self.weight is None:
            return each
        probabilities = targets.is_floating_point() and targets.shape[1] > 1
        weight = targets @ self.weight if probabilities else self.weight[targets.flatten().long()]
        return each * weight

    def _loss(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        raise NotImplementedError


class _Smoothed(_Classes):
    """With label smoothing in [0, 1): that share of each example's target is spread evenly (Szegedy et al. 2016)."""

    def __init__(self, class_counts: Sequence[int], weight: Weight = None, label_smoothing: float = 0.0) -> None:
        super().__init__(class_counts, weight)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: expected a number in [0, 1)")
        self.label_smoothing = label_smoothing


class CrossEntropy(_Smoothed):
    """Cross-entropy of the softmax of logits `(B, K)`, with label smoothing."""

    def _loss(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing, reduction=reduction)


class NLL(_Classes):
    """Negative log-likelihood of the classes, from logits or log-probabilities `(B, K)`.

    The log-softmax leaves log-probabilities unchanged: after `LogSoftmax` this is torch's NLLLoss.
    """

    def _loss(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        if targets.is_floating_point():  # probabilities
            return F.cross_entropy(outputs, targets, reduction=reduction)
        return F.nll_loss(outputs.log_softmax(1), targets, reduction=reduction)


class BCE(_Smoothed):
    """Binary cross-entropy of the sigmoid of a logit `(B, 1)`, with targets `(B, 1)` of 0 and 1 and label smoothing."""

    def _loss(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        if self.label_smoothing:
            targets = targets + self.label_smoothing * (0.5 - targets)
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction=reduction)


FITS: dict[str, tuple[type[nn.Module], ...]] = {
    "regression": (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss),
    "binary": (BCE, nn.BCEWithLogitsLoss, nn.BCELoss, nn.SoftMarginLoss),
    "multiclass": (CrossEntropy, NLL, nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss),
}


def auto(task: str, class_counts: Sequence[int], weight: Weight = None, label_smoothing: float = 0.0) -> nn.Module:
    """Return the task's default loss: mean squared error, or the negative log-likelihood of the classes.

    Raises:
        ValueError: a weight or smoothing that is invalid, or has no classes to apply to.
    """
    if task == "regression":
        if weight is not None or label_smoothing:
            raise ValueError("weight and label_smoothing apply to classes, and this data is regression")
        return nn.MSELoss()
    return (BCE if task == "binary" else CrossEntropy)(class_counts, weight, label_smoothing)


def check_fit(loss: Callable[..., object], task: str) -> None:
    """Raise a ValueError if a built-in loss is for another task. User-defined losses are not checked."""
    tasks = [name for name, losses in FITS.items() if isinstance(loss, type) and issubclass(loss, losses)]
    if tasks and task not in tasks:
        raise ValueError(f"it is for {tasks[0]}, and this data is {task}; use loss=auto")


def of_each(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor | None:
    """Return the loss of each of `N` examples on the CPU, shape `(N,)`; None if `loss` only knows the mean of a batch.

    `outputs` are `(N, K)`, `targets` `(N,)` or `(N, 1)`.
    """
    if not isinstance(loss, (_Classes, nn.modules.loss._Loss)):
        return None
    twin: Any = copy.deepcopy(loss).cpu()
    if isinstance(twin, _Classes):
        return twin.of_each(outputs, targets)
    mean, twin.reduction = twin(outputs, targets), "none"
    each = twin(outputs, targets)
    if each.shape[:1] != targets.shape[:1]:
        return None
    each = each.reshape(len(targets), -1).mean(1)
    return each if torch.allclose(each.mean(), mean, rtol=1e-3) else None  # torch's weights make another mean
