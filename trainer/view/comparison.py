"""What differs between runs, in their settings and in their results."""

import math
import string
from collections.abc import Sequence
from itertools import count, product
from typing import Any, NamedTuple

from trainer.metrics.names import HIGHER_IS_BETTER
from trainer.runs.diff import config, differing, place
from trainer.runs.index import Run
from trainer.view.table import Column, can_say
from trainer.view.words import cut, duration, number

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
SPLITS = {"best": "validation", "test": "test"}
WIDEST = 40  # characters of a value


class Side(NamedTuple):
    """A run, what to call it, and its flat config."""

    label: str
    run: Run
    config: dict[str, Any]


def sides(runs: Sequence[Run]) -> list[Side]:
    """Name jobs of one sweep by their numbers and other runs by letters.

    Raises:
        CheckpointError: a config that cannot be read.
    """
    is_one_sweep = len({run.folder.parent for run in runs}) == 1 and all(run.folder.name.isdecimal() for run in runs)
    letters = ("".join(word) for size in count(1) for word in product(string.ascii_uppercase, repeat=size))
    labels = (run.folder.name for run in runs) if is_one_sweep else letters
    return [Side(label, run, config(run)) for label, run in zip(labels, runs, strict=False)]


def monitor(compared: Sequence[Side]) -> str:
    """Return the metric that chose the best epoch of the first run that has one."""
    return next((str(side.run.summary["monitor"]) for side in compared if side.run.summary.get("monitor")), "loss")


def keys(compared: Sequence[Side]) -> list[str]:
    """Return the keys of the config that differ."""
    return differing([side.config for side in compared])


def telling(compared: Sequence[Side]) -> list[str]:
    """Return the same but those that may just come with the part that was chosen, such as the layers of a model."""

    def comes_with(key: str, part: str) -> bool:
        pairs = {(str(side.config.get(part)), str(side.config.get(key))) for side in compared}
        return len(pairs) == len({name for name, _ in pairs})

    found = keys(compared)
    parts = {key: key.split(".")[0] for key in found}
    return [key for key in found if parts[key] == key or parts[key] not in found or not comes_with(key, parts[key])]


def columns(compared: Sequence[Side]) -> list[Column]:
    """Return the keys that differ, then the metrics, the work and the curve, a cell for each run."""
    chosen = monitor(compared)
    found = [Column(key, [_cell(side.config.get(key, "")) for side in compared], keep=7) for key in keys(compared)]
    if {side.run.state for side in compared} != {"finished"}:
        found.append(Column("state", [side.run.state for side in compared], keep=6))
    has_one_task = len({side.run.summary.get("monitor", chosen) for side in compared}) == 1
    direction = HIGHER_IS_BETTER if has_one_task else {}  # a loss in other units is no better for being smaller
    names = dict.fromkeys([chosen, "loss", *(name for side in compared for name in side.run.metrics("best"))])
    for name in names:
        for split, word in SPLITS.items():
            values = [side.run.metric(split, name) for side in compared]
            keep = 8 if name == chosen else 0
            found.append(Column(f"{word} {name}", _values(values, direction.get(name)), keep=keep))
    for title, key in (("best epoch", "best_epoch"), ("updates", "steps")):
        found.append(Column(title, [_count(side.run.summary.get(key)) for side in compared], keep=1))
    times = ["" if (s := side.run.seconds) is None else duration(s) for side in compared]
    found += [Column("time", times, keep=2), Column(f"{chosen} by epoch", _curves(compared, chosen), keep=4)]
    return [column for column in found if any(column.cells)]


def fewer(compared: Sequence[Side]) -> list[Column]:
    """Return the columns that say most: telling keys, the monitored metric and the loss, and only what differs."""
    names = {"loss", monitor(compared)}
    others = {name for side in compared for name in side.run.metrics("best") if name not in names}
    left_out = {f"{word} {name}" for word in SPLITS.values() for name in others}
    left_out |= {*keys(compared)} - {*telling(compared)}
    return [found for found in columns(compared) if found.title not in left_out and len({*found.cells}) > 1]


def drift(compared: Sequence[Side]) -> list[str]:
    """Return a line for each difference in code, packages, machine or data."""
    places = [place(side.run) for side in compared]
    lines = []
    explained = any(key == "seed" or key.split(".")[0] == "data" for key in keys(compared))  # the seed draws the splits
    for key in differing(places):
        if key.startswith("data.") and explained:
            continue
        by_value: dict[str, list[str]] = {}
        for side, there in zip(compared, places, strict=True):
            value = str(there.get(key, "unknown"))
            by_value.setdefault(value[:10] if key.endswith("commit") else value, []).append(side.label)
        lines.append(f"{key}: {', '.join(f'{value} ({_few(labels)})' for value, labels in by_value.items())}")
    return lines


def _few(labels: list[str]) -> str:
    return " ".join(labels) if len(labels) <= 6 else f"{len(labels)} runs"


def plain(value: Any) -> str:
    """Return a setting's value, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return cut(f"{value:g}" if isinstance(value, float) else str(value), WIDEST)


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _values(values: Sequence[float | None], higher_is_better: bool | None) -> list[str]:
    """Format each with its difference to the first, and the best with a star if a direction is known."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    best = None
    if len({*known}) > 1 and higher_is_better is not None:
        best = max(known) if higher_is_better else min(known)
    cells = []
    for value in values:
        text = "" if value is None else number(value)
        if value is not None and values[0] is not None and value is not values[0]:
            text += f" ({value - values[0]:+.4g})"
        cells.append(f"{text} *" if best is not None and value == best else text)
    return cells


def _curves(compared: Sequence[Side], name: str) -> list[str]:
    """Draw the validation metric after each epoch, all on one scale."""
    found = [[row[f"val/{name}"] for row in side.run.history if f"val/{name}" in row] for side in compared]
    finite = [value for values in found for value in values if math.isfinite(value)]
    levels = BLOCKS if can_say(BLOCKS) else ASCII
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return [sparkline(values, low, high, levels=levels) for values in found]


def sparkline(values: Sequence[float], low: float, high: float, *, width: int = 24, levels: str = BLOCKS) -> str:
    """Draw each value as a letter, from the first of `levels` at `low` to the last at `high`; `?` if not finite.

    More than `width` values are thinned out evenly.
    """
    length = min(width, len(values))
    kept = [values[round(i * (len(values) - 1) / max(1, length - 1))] for i in range(length)]
    top = len(levels) - 1
    scale = top / (high - low) if high > low else 0.0
    return "".join(levels[min(top, max(0, round((v - low) * scale)))] if math.isfinite(v) else "?" for v in kept)
