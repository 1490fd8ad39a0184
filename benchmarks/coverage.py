"""How often a test metric's 95 % interval holds the true value, over made test splits of 30, 100 and 1,000 examples.

    python benchmarks/coverage.py            # 1,000 splits of each size, about ten minutes on a core
    python benchmarks/coverage.py 200        # fewer

The true value is that of two million examples. The errors of `heavy tails` follow Student's t with 5 degrees of
freedom, and those of `groups` are half the group's, of 5 examples each. A perfect score has no interval: then the share
of splits that have one is added. Prints a table, of which docs/guide/numbers.md has the rows that matter most.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.engine.intervals import intervals
from trainer.metrics.built_in import METRICS

SIZES = (30, 100, 1000)
MANY = 2_000_000
OF_A_GROUP = 5


class Case(NamedTuple):
    """Made examples: a function of their number that returns outputs and targets, and the metrics to judge."""

    make: Callable[[int], tuple[Tensor, Tensor]]
    metrics: tuple[str, ...]
    groups: int = 0  # examples of each


def regression(errors: Callable[[int], Tensor]) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return the maker of targets from a normal distribution, and of outputs with these errors."""

    def make(num: int) -> tuple[Tensor, Tensor]:
        targets = torch.randn(num, 1)
        return targets + 0.5 * errors(num)[:, None], targets

    return make


def heavy(num: int) -> Tensor:
    """Return errors that follow Student's t distribution with 5 degrees of freedom."""
    return torch.distributions.StudentT(5.0).sample((num,))


def shared(num: int) -> Tensor:
    """Return errors of which half the variance is shared within a group."""
    of_group = torch.randn(num // OF_A_GROUP).repeat_interleave(OF_A_GROUP)
    return 0.5**0.5 * (of_group + torch.randn(num))


def two_classes(num: int) -> tuple[Tensor, Tensor]:
    """Make two classes, 40 % positive, of which 84 % are told apart."""
    targets = (torch.rand(num, 1) < 0.4).float()
    return 2 * targets - 1 + torch.randn(num, 1), targets


def five_classes(num: int) -> tuple[Tensor, Tensor]:
    """Make five classes of equal size."""
    targets = torch.randint(5, (num,))
    return 2.5 * torch.eye(5)[targets] + torch.randn(num, 5), targets


def nearly_perfect(num: int) -> tuple[Tensor, Tensor]:
    """Make two classes of which 97 % are told apart."""
    targets = (torch.rand(num, 1) < 0.4).float()
    right = torch.rand(num, 1) < 0.97
    return (2 * targets - 1) * (2 * right - 1), targets


OF_VALUES = ("rmse", "mse", "mae", "median_ae", "r2")
OF_TWO = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "auc", "average_precision", "log_loss")
CASES = {
    "regression": Case(regression(torch.randn), OF_VALUES),
    "heavy tails": Case(regression(heavy), OF_VALUES),
    "groups": Case(regression(shared), OF_VALUES, OF_A_GROUP),
    "two classes": Case(two_classes, (*OF_TWO, "brier")),
    "97 % right": Case(nearly_perfect, OF_TWO[:6]),
    "five classes": Case(five_classes, ("accuracy", "balanced_accuracy", "f1_macro", "mcc", "auc", "log_loss")),
}


def coverage(case: Case, size: int, num_splits: int) -> dict[str, tuple[float, float]]:
    """Return for each metric the share of its intervals that hold the true value, and of splits that have one."""
    metrics = {name: METRICS[name]() for name in case.metrics}
    outputs, targets = case.make(MANY)
    for metric in metrics.values():
        metric.update(outputs, targets)
    true = {name: float(metric.compute()) for name, metric in metrics.items()}
    held: dict[str, list[bool]] = {name: [] for name in metrics}
    for _ in range(num_splits):
        groups = torch.arange(size) // case.groups if case.groups else None
        for name, (low, high) in intervals(*case.make(size), metrics, groups=groups).intervals.items():
            held[name].append(low <= true[name] <= high)
    return {name: (sum(found) / max(1, len(found)), len(found) / num_splits) for name, found in held.items()}


def main() -> None:
    """Print a table with a row per metric."""
    num_splits = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    torch.manual_seed(0)
    print(f"| test split of | {' | '.join(f'{size:,}' for size in SIZES)} |", "|---|---:|---:|---:|", sep="\n")
    for name, case in CASES.items():
        by_size = [coverage(case, size, num_splits) for size in SIZES]
        for metric in case.metrics:
            cells = [f"{100 * found[metric][0]:.1f} %" for found in by_size]
            some = [f" (of {100 * found[metric][1]:.0f} %)" if found[metric][1] < 1 else "" for found in by_size]
            print(f"| {name}: `{metric}` | {' | '.join(map(str.__add__, cells, some))} |", flush=True)


if __name__ == "__main__":
    main()
