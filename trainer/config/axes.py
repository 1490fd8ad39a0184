"""The values that a sweep gives to its keys, and the combinations that have to be checked."""

from contextlib import suppress
from itertools import product
from typing import Any

from trainer.config.check import Checker
from trainer.config.compose import open_hydra, parse_all
from trainer.config.keys import is_of_hydra, key_of, value_of
from trainer.errors import ConfigError

SEARCH = "hydra/sweeper=optuna"


def sweep_axes(overrides: list[str], config_dir: str | None = None) -> list[list[str]]:
    """Expand each override into single-valued lines: one per value of a sweep, or an interval's two ends.

    Raises:
        ConfigError: an invalid interval, no value, or several values for a key of the whole sweep.
    """
    axes = []
    with open_hydra(config_dir):
        for override in parse_all(overrides):
            key, line = override.get_key_element(), str(override.input_line)
            if override.is_interval_sweep():
                if SEARCH not in overrides:
                    raise ConfigError(f"{line}: an interval needs {SEARCH}; without it list some values: {key}=1,2,3")
                axes.append([f"{key}={end}" for end in _ends(line, override.value())])
                continue
            sweeps = override.is_discrete_sweep()
            if sweeps and (is_of_hydra(key) or key_of(key).startswith("sweep.")):
                raise ConfigError(f"{line}: {key} applies to the whole sweep; give it one value")
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()] if sweeps else [line])
            if not axes[-1]:
                raise ConfigError(f"{line}: no value; give at least one")
    return axes


def _ends(line: str, interval: Any) -> tuple[float, float]:
    low, high = interval.start, interval.end
    if not low < high or interval.tags - {"log"} or ("log" in interval.tags and low <= 0):
        raise ConfigError(
            f"{line}: expected interval(low,high) with low < high, or tag(log,interval(low,high)) with 0 < low < high"
        )
    return low, high


def sweep_samples(axes: list[list[str]]) -> list[list[str]]:
    """Return overrides of single runs in which every value of a sweep occurs; numbers are represented by their ends."""
    first = [values[0] for values in axes]
    others = ([*first[:n], value, *first[n + 1 :]] for n, values in enumerate(axes) for value in _to_check(values)[1:])
    return [first, *others]


def _to_check(axis: list[str]) -> list[str]:
    """Return the first value, every word, and the ends of numbers: each knob allows a range."""
    numbers = {line: number(line) for line in axis}
    whole = [line for line, n in numbers.items() if isinstance(n, int)]
    fractions = [line for line, n in numbers.items() if isinstance(n, float) and n % 1 > 0]  # finite ones
    kinds = [lines for lines in (whole, fractions) if lines]
    ends = {end(lines, key=lambda line: numbers[line] or 0) for lines in kinds for end in (min, max)}
    return [axis[0], *(line for line in axis[1:] if line in ends or line not in (*whole, *fractions))]


def number(line: str) -> int | float | None:
    """Return the value of an override if it is a number."""
    text = value_of(line)
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return None


def check_jobs(axes: list[list[str]], config_dir: str | None = None, config_name: str = "config") -> None:
    """Compose every job of a sweep whose values were checked one by one; one number stands for all of its axis.

    Raises:
        ConfigError: values that do not go together, with the job's overrides.
    """
    kept = [axis[:1] if all(number(line) is not None for line in axis) else axis for axis in axes]
    checker = Checker(config_dir, config_name)
    for job in product(*kept):
        try:
            checker.check(job)
        except ConfigError as error:
            raise ConfigError(f"{' '.join(job)}: {error}") from error
