"""What a metric is, and the kinds of metrics: of sums over the examples, and of all examples kept.

Sums and counts are added up on the device, never means of means. `outputs` are logits `(N, K)` for K classes, one
logit `(N, 1)` for two, values `(N, 1)` for regression. `targets` are class numbers `(N,)` int64, or `(N, 1)` float.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]  # weights (D, N) of the examples -> the metric with each row of them, (D,)


class Metric(Protocol):
    """What a `Meter` needs from a metric; its state is tensors and lists of tensors."""

    def reset(self) -> None:
        """Forget all examples."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""

    def compute(self) -> Tensor:
        """Return the metric over all of them, one number."""


class Weighted(Metric):
    """A metric that is known for any weights of the examples, such as how often each is drawn by a bootstrap."""

    def statistic(self, outputs: Tensor, targets: Tensor) -> Statistic:
        """Return the metric as a function of the examples' weights."""
        raise NotImplementedError


def exact(values: Tensor) -> Tensor:
    """Convert to double precision, or to single where the device has no double (Apple's GPUs)."""
    return values.float() if values.device.type == "mps" else values.double()


class Sums(Weighted):
    """A function of sums over the examples: `_terms` returns what each adds to them, `_value` the result."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.sums: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add examples."""
        added = self._added(outputs, targets)
        self.sums = [a + b for a, b in zip(self.sums, added, strict=True)] if self.sums else added

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `()` or `(1,)`."""
        return self._value(self.sums)

    def statistic(self, outputs: Tensor, targets: Tensor) -> Statistic:
        """Return the metric as a function of the examples' weights."""
        terms = [exact(term).reshape(len(term), -1) for term in self._terms(outputs, targets)]
        return lambda weights: self._value([weights @ term.to(weights.dtype) for term in terms]).reshape(len(weights))

    def _added(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        return [exact(term).sum(0) for term in self._terms(outputs, targets)]

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        """Return tensors whose first dimension runs over the examples."""
        raise NotImplementedError

    def _value(self, sums: list[Tensor]) -> Tensor:
        """Return the metric of sums, which may have a first dimension for several samples."""
        raise NotImplementedError


class Mean(Sums):
    """The mean over the examples of what `_values` returns for each."""

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        values = self._values(outputs, targets)
        return [values, torch.ones_like(values)]

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def _value(self, sums: list[Tensor]) -> Tensor:
        return sums[0] / sums[1]


class Share(Sums):
    """The share of some examples for which something holds."""

    def counted(self, outputs: Tensor, targets: Tensor) -> tuple[float, int]:
        """Return the share, and the number of examples of which it is one."""
        sums = self._added(outputs, targets)
        return float(self._value(sums)), int(self._parts(sums)[1])

    def _parts(self, sums: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return for how many examples it holds, and how many there are."""
        return sums[0], sums[1]

    def _value(self, sums: list[Tensor]) -> Tensor:
        holds, count = self._parts(sums)
        return holds / count.clamp_min(1)


class Kept(Weighted):
    """A metric of all examples, which are kept because ranks need them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Keep examples."""
        self.outputs.append(outputs)
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `()`."""
        outputs, targets = torch.cat(self.outputs), torch.cat(self.targets)
        once = torch.ones(1, len(targets), dtype=torch.int64, device=targets.device)  # sums of whole numbers are exact
        return self.statistic(outputs, targets)(once)[0]
