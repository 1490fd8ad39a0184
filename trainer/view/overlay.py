"""One picture of several runs: loss and metric of each, against updates and against seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import naming
from trainer.view import style
from trainer.view.comparison import Side, keys, monitor, telling

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, float]]  # a row an epoch, as in metrics.csv
WIDEST = 80  # characters of a label
LINES = 12  # that can be told apart
SHORT = 12  # epochs of which each has a mark
FEW = 4  # runs whose training lines do not hide those of validation
FAR_ENDS, FAR_LOSSES = 5, 20  # times: beyond it an axis is logarithmic
AXES = (("step", "updates of the weights"), ("seconds", "seconds of training"))


def draw(compared: Sequence[Side], path: Path) -> Path:
    """The curves of the runs, of too many of the best ones, each with the keys that make it what it is.

    Raises:
        FileSystemError: the picture cannot be written.
    """
    best = sorted(compared, key=lambda side: _worst_last(side.run.objective))[:LINES]
    drawn = [side for side in compared if side in best]
    curves = {_label(side, telling(compared)): side.history for side in drawn}
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        overlay(path, curves, _metric(drawn), _title(compared, len(drawn)))
    return path


def _metric(drawn: Sequence[Side]) -> str:
    """What is drawn beside the loss: the monitored metric or, where that is the loss, the first one measured."""
    measured = [key.removeprefix("val/") for side in drawn for row in side.history[:1] for key in row if "val/" in key]
    return next((name for name in [monitor(drawn), *measured] if name != "loss"), "loss")


def _title(compared: Sequence[Side], num_drawn: int) -> str:
    some = "" if num_drawn == len(compared) else f"the best {num_drawn} of "
    same = [slot for slot in ("model", "data") if slot in compared[0].config and slot not in keys(compared)]
    return f"{some}{len(compared)} runs: {', '.join(str(compared[0].config[slot]) for slot in same)}".rstrip(": ")


def _label(side: Side, telling_keys: Sequence[str]) -> str:
    label = "  ".join([side.label, *(f"{key}={side.config[key]}" for key in telling_keys if key in side.config)])
    return label if len(label) <= WIDEST else f"{label[: WIDEST - 3]}..."


def _worst_last(value: float) -> tuple[bool, float]:
    return value != value, -value


def overlay(path: Path, runs: Mapping[str, History], metric: str, title: str) -> None:
    """Draw the runs, label -> history, at most `LINES` of them: the loss, and `metric` below it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ["loss", *([metric] if metric != "loss" else [])]
    with style.look():
        height = 0.9 + 2.9 * len(names) + 0.17 * len(runs)
        figure = Figure(figsize=(9.6, height), dpi=style.DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
        panels = figure.subplots(len(names), len(AXES), sharey="row", squeeze=False)
        for row, name in zip(panels, names, strict=True):
            for panel, (axis, unit) in zip(row, AXES, strict=True):
                _draw(panel, runs, axis, name)
                panel.set(title=f"{name} against {unit.split()[0]}", xlabel=unit)
            row[0].set_ylabel(name)
        lines, labels = panels[0][0].get_legend_handles_labels()
        figure.text(0.99, 0.99, "validation —   training - -", ha="right", va="top")
        figure.legend(lines, labels, loc="outside lower left", ncols=1 if max(map(len, labels)) > 50 else 2)
        style.save(figure, path)


def _draw(panel: Axes, runs: Mapping[str, History], axis: str, name: str) -> None:
    """A colour a run, with marks where colours come again; validation as a line, training as a dashed one."""
    for number, (label, history) in enumerate(runs.items()):
        comes_again = number >= len(style.COLOURS)
        is_short = len(history) <= SHORT
        options: dict[str, Any] = {"color": style.COLOURS[number % len(style.COLOURS)]}
        marks = {"marker": "s" if comes_again else "o", "markevery": 1 if is_short else len(history) // SHORT}
        faint = 0.8 if len(runs) <= FEW else 0.3
        panel.plot(*_points(history, axis, f"train/{name}"), "--", linewidth=0.9, alpha=faint, **options)
        options |= marks if is_short or comes_again else {}
        panel.plot(*_points(history, axis, f"val/{name}"), "-", label=label, **options)
    ends = [history[-1][axis] for history in runs.values() if history]
    if ends and min(ends) > 0 and max(ends) > FAR_ENDS * min(ends):
        style.logarithmic(panel.xaxis)
    losses = [row.get("val/loss", 0) for history in runs.values() for row in history]
    if name == "loss" and _range(losses) > FAR_LOSSES:
        style.logarithmic(panel.yaxis)


def _points(history: History, axis: str, name: str) -> tuple[list[float], list[float]]:
    rows = [row for row in history if name in row]
    return [row[axis] for row in rows], [row[name] for row in rows]


def _range(values: Sequence[float]) -> float:
    """The largest of them in units of the smallest."""
    finite = [value for value in values if math.isfinite(value) and value > 0]
    return max(finite) / min(finite) if finite else 1.0
