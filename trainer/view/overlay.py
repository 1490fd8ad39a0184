"""One picture of several runs: loss and metric against updates and against seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from trainer.errors import naming
from trainer.view import style
from trainer.view.comparison import Side, keys, monitor, plain, telling
from trainer.view.words import cut

History = Sequence[Mapping[str, float]]  # per epoch, as in metrics.csv
WIDEST = 80  # characters of a label
LINES = 12  # that can be distinguished
SHORT = 12  # epochs that get a marker each
FEW = 4  # runs whose training lines do not hide the validation lines
FAR_ENDS, FAR_LOSSES = 5, 20  # ratios beyond which an axis is logarithmic
AXES = (("step", "updates"), ("seconds", "seconds of training"))


def draw(compared: Sequence[Side], path: Path, dpi: int = 0, *, joins_seeds: bool = False) -> Path:
    """Draw the curves of the runs, the best 12 at most, labelled with the keys that differ.

    With `joins_seeds`, runs that differ only in their seed are one line, their mean, in a band from lowest to highest.

    Raises:
        FileSystemError: the picture cannot be written.
    """
    telling_keys = [key for key in telling(compared) if not (joins_seeds and key == "seed")]
    groups: dict[str, list[Side]] = {}
    for side in compared:
        groups.setdefault(_label(side, telling_keys, has_letter=not joins_seeds), []).append(side)
    best = sorted(groups, key=lambda label: _rank(groups[label]))[:LINES]
    drawn = [side for label, group in groups.items() if label in best for side in group]
    runs = {label: _joined([side.run.history for side in group]) for label, group in groups.items() if label in best}
    measured = [key[4:] for side in drawn for row in side.run.history[:1] for key in row if key.startswith("val/")]
    names = list(dict.fromkeys(["loss", monitor(drawn), *measured]))[:2]
    with naming(path), style.look():
        figure = style.arranged(_title(compared, len(drawn)), 9.6, 0.9 + 2.9 * len(names) + 0.17 * len(runs))
        panels = figure.subplots(len(names), len(AXES), sharey="row", squeeze=False)
        for row, name in zip(panels, names, strict=True):
            for panel, (axis, unit) in zip(row, AXES, strict=True):
                _draw(panel, runs, axis, name)
                panel.set(title=f"{name} against {unit.split()[0]}", xlabel=unit)
            row[0].set_ylabel(name)
        lines, labels = panels[0][0].get_legend_handles_labels()
        band = "   band: lowest to highest seed" if any(len(group) > 1 for group in groups.values()) else ""
        figure.text(0.99, 0.99, f"validation —   training - -{band}", ha="right", va="top")
        figure.legend(lines, labels, loc="outside lower left", ncols=1 if max(map(len, labels)) > 50 else 2)
        path.parent.mkdir(parents=True, exist_ok=True)
        style.save(figure, path, dpi)
    return path


def _title(compared: Sequence[Side], num_drawn: int) -> str:
    some = "" if num_drawn == len(compared) else f"the best {num_drawn} of "
    same = [slot for slot in ("model", "data") if slot in compared[0].config and slot not in keys(compared)]
    return f"{some}{len(compared)} runs: {', '.join(str(compared[0].config[slot]) for slot in same)}".rstrip(": ")


def _label(side: Side, telling_keys: Sequence[str], has_letter: bool) -> str:
    values = (f"{key}={plain(side.config[key])}" for key in telling_keys if key in side.config)
    return cut("  ".join([*([side.label] if has_letter else []), *values]), WIDEST) or "all"


def _rank(group: Sequence[Side]) -> tuple[bool, float]:
    mean = fmean(side.run.objective for side in group)
    return math.isnan(mean), -mean


def _joined(histories: Sequence[History]) -> History:
    """Return the mean over runs, up to the shortest one's end, and each value's ends as `key min` and `key max`."""
    if len(histories) == 1:
        return histories[0]
    rows: list[dict[str, float]] = []
    for same in zip(*histories, strict=False):
        values = {key: [row[key] for row in same] for key in same[0] if all(key in row for row in same)}
        rows.append({key: fmean(found) for key, found in values.items()})
        rows[-1] |= {f"{key} {end.__name__}": end(found) for key, found in values.items() for end in (min, max)}
    return rows


def _draw(panel: style.Axes, runs: Mapping[str, History], axis: str, name: str) -> None:
    """Draw each run in a colour, with markers where colours repeat: validation solid, training dashed."""
    for number, (label, history) in enumerate(runs.items()):
        repeats = number >= len(style.COLOURS)
        is_short = len(history) <= SHORT
        colour, faint = style.COLOURS[number % len(style.COLOURS)], 0.8 if len(runs) <= FEW else 0.3
        panel.plot(*_points(history, axis, f"train/{name}"), "--", color=colour, linewidth=0.9, alpha=faint)
        every = 1 if is_short else len(history) // SHORT
        marks: dict[str, Any] = {"marker": "s" if repeats else "o", "markevery": every} if is_short or repeats else {}
        panel.plot(*_points(history, axis, f"val/{name}"), "-", color=colour, label=label, **marks)
        band = [row for row in history if f"val/{name} min" in row]
        low, high = ([row[f"val/{name} {end}"] for row in band] for end in ("min", "max"))
        panel.fill_between([row[axis] for row in band], low, high, color=colour, alpha=0.15, linewidth=0)
    last = [history[-1][axis] for history in runs.values() if history]
    if last and min(last) > 0 and max(last) > FAR_ENDS * min(last):
        style.logarithmic(panel.xaxis)
    losses = [loss for history in runs.values() for row in history if 0 < (loss := row.get("val/loss", 0)) < math.inf]
    if name == "loss" and losses and max(losses) > FAR_LOSSES * min(losses):
        style.logarithmic(panel.yaxis)


def _points(history: History, axis: str, name: str) -> tuple[list[float], list[float]]:
    rows = [row for row in history if name in row]
    return [row[axis] for row in rows], [row[name] for row in rows]
