"""How far a test metric may be from its true value: 95 % intervals by the bootstrap over examples.

Efron and Tibshirani (1993), An Introduction to the Bootstrap.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainer.data.tensors import BatchLoader
from trainer.engine import resampling
from trainer.engine.loop import Loss
from trainer.engine.trace import KeepingMeter
from trainer.losses import of_each
from trainer.metrics.bounds import Interval, percentiles, wilson
from trainer.metrics.own import Own
from trainer.metrics.probabilities import ECE
from trainer.metrics.sums import Metric, Share, Statistic, Weighted


class Uncertainty(NamedTuple):
    """The intervals of test metrics by name, and what an interval of the difference to another model needs."""

    intervals: dict[str, Interval] = {}
    draws: dict[str, list[float]] = {}
    num: int = 0  # independent examples, or groups
    examples: str = ""  # fingerprint of rows and targets
    notes: tuple[str, ...] = ()  # on what has no interval, or a coarse one

    def record(self, metric: str) -> dict[str, Any]:
        """Return what the difference of this metric to another model's needs, in a few kilobytes."""
        draws = [float(f"{value:.7g}") for value in self.draws[metric]]
        return {"metric": metric, "num": self.num, "examples": self.examples, "draws": draws}


def of_test(meter: KeepingMeter, test: BatchLoader, loss: Loss) -> Uncertainty:
    """Return the intervals of the metrics that `meter` has measured on the test split."""
    outputs, targets = meter.outputs()
    num = len(targets)
    if num < test.num_examples:
        return Uncertainty(notes=(f"no 95 % intervals: {test.num_examples:,} examples have too many outputs to keep",))
    rows, groups = (None if keys is None else keys[:num].cpu() for keys in (test.rows, test.groups))
    losses = of_each(loss, outputs, targets)
    return intervals(outputs, targets, meter.metrics, meter.in_units, losses=losses, rows=rows, groups=groups)


def intervals(
    outputs: Tensor,
    targets: Tensor,
    metrics: Mapping[str, Metric],
    in_units: Callable[[Tensor], Tensor] | None = None,
    *,
    losses: Tensor | None = None,
    rows: Tensor | None = None,
    groups: Tensor | None = None,
) -> Uncertainty:
    """Return the 95 % interval of each metric over `N` examples: `outputs` `(N, K)`, `targets` `(N,)` or `(N, 1)`.

    `losses` `(N,)` are those of the examples, `rows` `(N,)` their places in the data. Examples with the same number in
    `groups` `(N,)` are drawn together. A share of independent examples has Wilson's interval. The expected calibration
    error has none, because it is larger in a resampled split than in the split.
    """
    keys = next((given for given in (groups, rows) if given is not None), torch.arange(len(targets)))
    num = len(keys.unique())
    examples = hashlib.sha256(keys.numpy().tobytes() + targets.double().numpy().tobytes()).hexdigest()[:16]
    if in_units:
        outputs, targets = in_units(outputs.double()), in_units(targets.double())
    known: dict[str, Weighted] = {n: m for n, m in metrics.items() if isinstance(m, Weighted) and type(m) is not ECE}
    statistics: dict[str, Statistic] = {name: m.statistic(outputs, targets) for name, m in known.items()}
    if losses is not None:
        statistics["loss"] = lambda weights: weights @ losses.to(weights.dtype) / weights.sum(1)
    num_draws = resampling.affordable(resampling.seconds_of([*known.values()], keys, outputs.shape[1]))
    draws = resampling.draw(statistics, keys, num_draws)
    own = {name: metric for name, metric in metrics.items() if isinstance(metric, Own)}
    draws |= {name: resampling.draw_own(metric, outputs, targets, keys) for name, metric in own.items()}
    found = {name: percentiles(values, num) for name, values in draws.items()}
    shares = {name: m for name, m in known.items() if isinstance(m, Share) and num == len(targets)}
    for name, metric in shares.items():
        share, count = metric.counted(outputs, targets)
        found[name] = wilson(share, count) if count else None
    notes = _notes({name: len(values) for name, values in draws.items() if name not in shares})
    return Uncertainty({name: bound for name, bound in found.items() if bound}, draws, num, examples, (*notes,))


def _notes(num_draws: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each smaller number of draws, with the metrics that have it."""
    for number in (*resampling.STEPS[1:], 0):
        names = ", ".join(name for name, found in num_draws.items() if found == number)
        if names and number:
            yield f"95 % intervals of {names} are from {number} draws"
        elif names:
            yield f"no 95 % intervals of {names}: they would take more than {resampling.BUDGET_S} s"
