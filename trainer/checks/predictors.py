"""Features that alone predict the target, as only something known afterwards does, or the number of a sorted row.

With the examples in the order of a feature, neighbours have like targets if it predicts them. That needs no model, and
finds any function of few changes. For numbers, xi of Chatterjee (2021, A new coefficient of correlation, JASA 116)
measures it: 0 by chance, 1 for a function, and 0.9 for normal variables whose r squared is 0.99. For classes, it is
counted how often the class changes, as in the runs test of Wald and Wolfowitz (1940). A rule that is right in 99 % of
examples has about 0.04 of the changes that chance makes of classes of one size; iris' best feature has 0.10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from trainer.checks.columns import dropped
from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool

LEAST_XI, MOST_CHANGES = 0.9, 0.04  # of many examples; few may reach that by luck
BY_LUCK = 3.0  # changes that a count may lack: the 95 % limit of a Poisson mean of which nothing is seen
LEVEL = 1e-3  # probability of a false alarm, over all features together
LEAST = 10  # examples
CELLS = 4_000_000  # of the table of values and classes


def predictor(pool: Pool, column: Column) -> Iterator[Finding]:
    """Yield a feature that alone predicts the target of training and validation examples."""
    if not column.is_feature:
        return
    places = pool.some(np.flatnonzero(pool.split < 2))
    column, target = column.at(places), pool.target.at(places)
    alone = f"{column.name} alone predicts {target.name}"
    level = LEVEL / len(pool.column_names)
    if target.words is None:
        strength, chance = xi(column, target.values)
        if strength < LEAST_XI + 0.4 / math.sqrt(len(places)) or chance > level:
            return
        what = f"{alone}: xi is {strength:.3f}, where 1 is a function and 0 chance"
    else:
        every = len(places) * pool.num_classes // CELLS + 1
        changes, usual, chance = class_changes(
            column.at(slice(None, None, every)), target.values[::every], pool.num_classes
        )
        if changes > usual * MOST_CHANGES or changes + BY_LUCK > usual / 10 or chance > level:
            return
        what = f"{alone}: in its order, the class changes {changes / usual:.1%} as often as by chance"
    cure = f"if it is not known beforehand, {dropped(column)}"
    yield Finding("predictor", what, len(places), columns=[column.name], cure=cure)


def xi(column: Column, targets: np.ndarray) -> tuple[float, float]:
    """Return Chatterjee's xi between a feature and targets, scaled to 1 for a rising function, and a p-value.

    Words are in no order: only examples of the same word are neighbours. The p-value is that of independent steps
    between ranks, and is larger than the true one.
    """
    size = len(targets)
    codes = np.unique(targets, return_inverse=True)[1]
    counts = np.bincount(codes)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]  # the average rank of equal targets
    order = neighbours(column.values)
    steps = np.abs(np.diff(ranks[order]))
    if column.words is not None:
        steps = steps[np.diff(column.values[order]) == 0]
    if size < LEAST or len(steps) < size / 2 or len(counts) < 2:
        return 0.0, 1.0
    by_chance = 2 * float(((2 * np.arange(size) - size + 1) * np.sort(ranks)).sum()) / (size * (size - 1))
    spread = math.sqrt(2 * ranks.var(ddof=1) - by_chance**2)  # standard deviation of a step, whose mean is by_chance
    rising = (ranks.max() - ranks.min()) / (size - 1)
    strength = 1 - max(0.0, steps.mean() - rising) / (by_chance - rising)
    return strength, 0.5 * math.erfc((by_chance - steps.mean()) / spread * math.sqrt(len(steps) / 2))


def class_changes(column: Column, labels: np.ndarray, num_classes: int) -> tuple[float, float, float]:
    """Return how often the class changes from neighbour to neighbour, how often it would by chance, and a p-value.

    Equal values are in random order, of which the expectation is taken; the changes that several classes need are not
    counted. The p-value bounds the share of all orders of these labels that have so few changes.
    """
    size = len(labels)
    inverse = column.codes
    num_values = int(inverse.max()) + 1
    table = np.bincount(inverse * num_classes + labels, minlength=num_values * num_classes)
    table = table.reshape(num_values, num_classes).astype(np.float64)  # (values, K)
    each, every = table.sum(1), table.sum(0)
    changes = float((each - np.square(table).sum(1) / each).sum())  # within equal values
    by_chance = 1 - float((every * (every - 1)).sum()) / (size * (size - 1))
    if column.words is None:
        shares = table / each[:, None]
        changes += float((1 - (shares[1:] * shares[:-1]).sum(1)).sum())  # between them
        needed, free, pairs = int((every > 0).sum()) - 1, 1, size - 1
    else:
        needed, free, pairs = 0, num_values, size - num_values
    if size < LEAST or not by_chance or pairs < size / 2:
        return 1.0, 1.0, 1.0
    few = min(math.ceil(changes), size // 2)
    log_orders = math.lgamma(size + 1) - sum(math.lgamma(count + 1) for count in every)
    log_found = free * math.log(num_classes) + few * math.log(max(1, num_classes - 1)) + math.log(few + 1)
    log_found += math.lgamma(size) - math.lgamma(few + 1) - math.lgamma(size - few)
    return max(0.0, changes - needed), pairs * by_chance, math.exp(min(0.0, log_found - log_orders))


def neighbours(values: np.ndarray) -> np.ndarray:
    """Return the order of values `(N,)`, equal ones in random order, which does not depend on the file's."""
    shuffled = np.random.default_rng(0).permutation(len(values))
    return np.lexsort((shuffled, values))
