"""One picture of several runs: loss and metric against updates and against seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.errors import naming
from trainer.view import style
from trainer.view.comparison import Side, keys, monitor, telling
from trainer.view.words import cut

History = Sequence[Mapping[str, float]]  # per epoch, as in metrics.csv
WIDEST = 80  # characters of a label
LINES = 12  # that can be distinguished
SHORT = 12  # epochs that get a marker each
FEW = 4  # runs whose training lines do not hide the validation lines
FAR_ENDS, FAR_LOSSES = 5, 20  # ratios beyond which an axis is logarithmic
AXES = (("step", "updates"), ("seconds", "seconds of training"))


def draw(compared: Sequence[Side], path: Path) -> Path:
    """Draw the curves of the runs, the best 12 at most, labelled with the keys that differ.

    Raises:
        FileSystemError: the picture cannot be written.
    """
    best = sorted(compared, key=lambda side: (math.isnan(side.run.objective), -side.run.objective))[:LINES]
    drawn = [side for side in compared if side in best]
    runs = {_label(side, telling(compared)): side.run.history for side in drawn}
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
        figure.text(0.99, 0.99, "validation —   training - -", ha="right", va="top")
        figure.legend(lines, labels, loc="outside lower left", ncols=1 if max(map(len, labels)) > 50 else 2)
        path.parent.mkdir(parents=True, exist_ok=True)
        style.save(figure, path)
    return path


def _title(compared: Sequence[Side], num_drawn: int) -> str:
    some = "" if num_drawn == len(compared) else f"the best {num_drawn} of "
    same = [slot for slot in ("model", "data") if slot in compared[0].config and slot not in keys(compared)]
    return f"{some}{len(compared)} runs: {', '.join(str(compared[0].config[slot]) for slot in same)}".rstrip(": ")


def _label(side: Side, telling_keys: Sequence[str]) -> str:
    values = (f"{key}={side.config[key]}" for key in telling_keys if key in side.config)
    return cut("  ".join([side.label, *values]), WIDEST)


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
    ends = [history[-1][axis] for history in runs.values() if history]
    if ends and min(ends) > 0 and max(ends) > FAR_ENDS * min(ends):
        style.logarithmic(panel.xaxis)
    losses = [loss for history in runs.values() for row in history if 0 < (loss := row.get("val/loss", 0)) < math.inf]
    if name == "loss" and losses and max(losses) > FAR_LOSSES * min(losses):
        style.logarithmic(panel.yaxis)


def _points(history: History, axis: str, name: str) -> tuple[list[float], list[float]]:
    rows = [row for row in history if name in row]
    return [row[axis] for row in rows], [row[name] for row in rows]
