"""95 % intervals from a bootstrap's draws, or for a share. Nothing here imports torch."""

import math
from collections.abc import Sequence
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
Interval = tuple[float, float]


def percentiles(draws: Sequence[float], num: int) -> Interval | None:
    """Return the percentile interval of a metric's bootstrap draws over `num` independent examples or groups.

    Plain percentiles are too narrow if `num` is small: the tails are those that would turn the normal interval of a
    mean into Student's (Hesterberg 2015, What Teachers Should Know About the Bootstrap). None if the draws do not
    differ, because then no example says how wrong the metric may be, or if most are not finite.
    """
    finite = sorted(filter(math.isfinite, draws))
    if num < 2 or 2 * len(finite) < max(2, len(draws)) or finite[0] == finite[-1]:
        return None
    tail = NormalDist().cdf(-math.sqrt(num / (num - 1)) * _student(num - 1))
    return _quantile(finite, tail), _quantile(finite, 1 - tail)


def mean_draws(draws: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of several metrics in each draw."""
    return [sum(draw) / len(draws) for draw in zip(*draws, strict=False)]


def wilson(share: float, num: int) -> Interval:
    """Return Wilson's interval of a share of `num` examples, which holds near 0 and 1 too (Wilson 1927)."""
    middle, half = share + Z**2 / (2 * num), Z * math.sqrt(share * (1 - share) / num + Z**2 / (4 * num**2))
    scale = 1 + Z**2 / num
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution, to 3 digits from 3 degrees of freedom on.

    Abramowitz and Stegun (1964), 26.7.5.
    """
    powers = [Z**k for k in range(8)]
    first = (powers[3] + powers[1]) / 4
    second = (5 * powers[5] + 16 * powers[3] + 3 * powers[1]) / 96
    third = (3 * powers[7] + 19 * powers[5] + 17 * powers[3] - 15 * powers[1]) / 384
    return Z + first / freedom + second / freedom**2 + third / freedom**3


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile, interpolated like NumPy's."""
    place = share * (len(ordered) - 1)
    low = int(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
