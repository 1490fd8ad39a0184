"""The draws of a bootstrap: how often each example counts, and a metric with these weights.

A weight is a Poisson variate of mean 1 (Hanley and MacGibbon 2006), a function of the draw and of the example's key. So
the draws of two models belong together, even if only some examples are in both of their test splits.
"""

import math
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from trainer.errors import ConfigError
from trainer.metrics.own import Own
from trainer.metrics.sums import Kept, Statistic, Weighted

STEPS = (1000, 500, 200, 100)  # draws, as many as take at most BUDGET_S
BUDGET_S = 0.5
WEIGHT_S, SUM_S, TERM_S, RANK_S = 15e-9, 3e-9, 0.4e-9, 15e-9  # per example of a draw, on a core; ranks per column
BYTE_S, MOST = 1.5e-9, 2**20  # for each key up to the largest, and at most so many keys, which larger ones share
AT_ONCE = 20  # draws of a part: their weights stay in a processor's cache
COUNTS = bytes(np.repeat(np.arange(6, dtype=np.uint8), (94, 94, 47, 16, 4, 1)))  # by a random byte


def weights(keys: Tensor, num_draws: int) -> Iterator[Tensor]:
    """Yield the weights of examples with these `keys`, `(N,)` whole numbers, in parts `(AT_ONCE, N)`."""
    index = keys.remainder(MOST).numpy()
    length = int(index.max()) + 1
    for part in range(num_draws // AT_ONCE):
        random = np.random.Generator(np.random.SFC64((0, part)))
        counts = random.bytes(length * AT_ONCE).translate(COUNTS)  # begins alike, whatever the length
        yield torch.from_numpy(np.frombuffer(counts, np.uint8).reshape(length, AT_ONCE)[index]).t().float().contiguous()


def draw(statistics: Mapping[str, Statistic], keys: Tensor, num_draws: int) -> dict[str, list[float]]:
    """Return each statistic with the weights of each draw."""
    found: dict[str, list[float]] = {name: [] for name in statistics}
    for part in weights(keys, num_draws) if statistics else ():
        for name, statistic in statistics.items():
            found[name] += statistic(part).tolist()
    return found


def draw_own(metric: Own, outputs: Tensor, targets: Tensor, keys: Tensor) -> list[float]:
    """Return a metric of the user's own over the examples of each draw, NaN if it fails; none if it takes too long."""
    start = time.perf_counter()
    metric.of(outputs, targets)
    num_draws = affordable(time.perf_counter() - start)
    index = torch.arange(len(targets))
    drawn = (index.repeat_interleave(row.long()) for part in weights(keys, num_draws) for row in part)
    found = []
    for some in drawn:
        try:
            found.append(float(metric.of(outputs[some], targets[some])))
        except ConfigError:  # such as a draw without a class
            found.append(math.nan)
    return found


def affordable(seconds: float) -> int:
    """Return the number of draws, each of which takes so many seconds; 0 if a hundred take too long."""
    return next((number for number in STEPS if number * seconds <= BUDGET_S), 0)


def seconds_of(metrics: list[Weighted], keys: Tensor, num_outputs: int) -> float:
    """Return about how long a draw takes: a formula, so that a run has the same draws wherever it is repeated."""
    ranked = sum(isinstance(metric, Kept) for metric in metrics)
    of_sums = (len(metrics) - ranked) * (SUM_S + TERM_S * num_outputs)
    of_keys = BYTE_S * (int(keys.remainder(MOST).max()) + 1)
    return of_keys + len(keys) * (WEIGHT_S + of_sums + RANK_S * ranked * num_outputs)
