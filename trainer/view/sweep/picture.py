"""The picture of a sweep: its metric against each key that differs."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from statistics import fmean
from typing import Any

from trainer.config.keys import key_values
from trainer.errors import naming
from trainer.runs.index import jobs, started
from trainer.runs.leaderboard import Group, Leaderboard, leaderboard
from trainer.view import overlay, style
from trainer.view.comparison import sides
from trainer.view.sweep.scales import Axis, Heights, by_effect, heights
from trainer.view.sweep.text import around, brief, progress
from trainer.view.table import say
from trainer.view.words import number, shown

ACROSS, MOST_PANELS, MOST_GROUPS = 3, 6, 4
MANY = 60  # jobs, drawn as small dots
MOST_TICKS = 5  # numbers that get a tick each
MOST_MEANS = 12  # values of a key that get a mean each


def draw_sweep(sweep: Path, place: Path) -> None:
    """Draw the metric against the keys and, if at least two jobs have them, the curves; print where each picture is."""
    draw_board(leaderboard(sweep), place / "leaderboard.png")
    drawn = [side for side in sides(started(jobs(sweep))) if side.run.history]
    if len(drawn) > 1:
        say(f"picture      {shown(overlay.draw(drawn, place / 'compare.png', joins_seeds=True))}")


def draw_board(board: Leaderboard, path: Path, dpi: int = 0) -> None:
    """Draw the metric against the keys once a job has ended, and print where the picture is.

    Raises:
        FileSystemError: the picture cannot be written.
    """
    with naming(path), style.look():
        if picture := figure(board):
            path.parent.mkdir(parents=True, exist_ok=True)
            style.save(picture, path, dpi)
            say(f"picture      {shown(path)}")


def figure(board: Leaderboard) -> style.Figure | None:
    """Draw the first groups below each other, keys with most effect first; None before a job has ended."""
    seen = [(group, found) for group in board.groups[:MOST_GROUPS] if (found := heights(group))]
    if not seen:
        return None
    most = MOST_PANELS if len(seen) == 1 else ACROSS
    chosen = [by_effect(group, _keys(board, group) or ["seed"])[:most] for group, _ in seen]
    across = min(ACROSS, max(map(len, chosen)))
    width = max(1.0 + 3.4 * across, 5.4)
    lines = [  # one for each of several groups
        (group, found, names[first : first + across])
        for (group, found), names in zip(seen, chosen, strict=True)
        for first in range(0, len(names), across)
    ]
    title = f"{progress(board)}; {_best(board, seen[0][0])}" if len(seen) == 1 else progress(board)
    made = style.arranged("\n".join(textwrap.wrap(title, int(width / 0.1))), width, 1.0 + 3.0 * len(lines))
    grid = made.subplots(len(lines), across, squeeze=False)
    for (group, found, names), panels in zip(lines, grid, strict=True):
        for panel, name in zip(panels, names, strict=False):
            _draw(panel, board, group, found, name)
        for panel in panels[len(names) :]:
            panel.set_visible(False)
        panels[0].set_ylabel(f"validation {group.metric} ({'higher' if group.higher_is_better else 'lower'} is better)")
        if len(seen) > 1:
            panels[0].set_title(f"{group.data}: {_best(board, group)}", loc="left", fontweight="bold")
    known: dict[str, Any] = {}
    for panel in grid.flat:
        known |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    made.legend([*known.values()], [*known], loc="outside lower left", ncols=min(2 * across, 5))
    return made


def _lost(board: Leaderboard, group: Group) -> list[dict[str, str]]:
    """Return the overrides of the jobs that failed on the data of a group."""
    values = [key_values(event["overrides"]) for event in board.failed.values()]
    return [found for found in values if found.get("data", group.data) == group.data]


def _keys(board: Leaderboard, group: Group) -> list[str]:
    """Return the keys that differ in a group."""
    values = [*(row.values for row in group.rows), *_lost(board, group)]
    return [key for key in board.keys if len({found.get(key, "") for found in values}) > 1]


def _best(board: Leaderboard, group: Group) -> str:
    row = group.rows[0]
    values = " ".join(f"{key}={brief(row.values[key])}" for key in _keys(board, group))
    return f"best {group.metric} {around(row.objective)}{f' with {values}' if values else ''}"


def _draw(panel: style.Axes, board: Leaderboard, group: Group, shown: Heights, key: str) -> None:
    """Draw the metric against a key: jobs, the mean over other keys, the baseline and, at the edge, failed jobs."""
    lost = _lost(board, group)
    every = [*(job.values for row in group.rows for job in row.jobs), *lost]
    axis = Axis.of([values.get(key, "") for values in every])
    worst = shown.low if group.higher_is_better else shown.high
    _means(panel, group, axis, key)
    if group.baseline:
        of = f" of {group.data}" if len(board.groups) > 1 else ""
        label = f"baseline{of} on the test split: {number(group.baseline.mean)}"
        panel.axhline(group.baseline.mean, color=style.ORANGE, linestyle="--", linewidth=1.2, label=label, zorder=1)
    _jobs(panel, group, axis, key, shown, worst)
    for values in lost:
        place = axis.drawn(axis.at(values.get(key, "")))
        panel.plot(place, worst, "x", color=style.VERMILION, label="failed", clip_on=False, zorder=4, markersize=5)
    if shown.is_logarithmic:
        style.logarithmic(panel.yaxis)
    panel.set(xlabel=key, ylim=(shown.low, shown.high))
    _ticks(panel, axis)


def _jobs(panel: style.Axes, group: Group, axis: Axis, key: str, shown: Heights, worst: float) -> None:
    """Draw each job: rows with the same value side by side, jobs of a row above each other, joined by a line."""
    small = 3 if sum(len(row.jobs) for row in group.rows) > MANY else 4.5
    columns: dict[str, dict[int, list[float]]] = {}  # value -> rank of a row -> heights of its jobs
    for rank, row in enumerate(group.rows):
        for job in row.jobs:
            height = job.objective if math.isfinite(job.objective) else worst
            columns.setdefault(job.values.get(key, ""), {}).setdefault(rank, []).append(height)
    for value, by_rank in columns.items():
        for place, (rank, column) in enumerate(by_rank.items()):
            x = axis.drawn(axis.at(value) + axis.room * ((place + 0.5) / len(by_rank) - 0.5))
            is_pruned = group.rows[rank].pruned_after is not None
            is_best = rank == 0 and not is_pruned
            name = "best row" if is_best else "pruned (best value)" if is_pruned else "job"
            colour = style.GREEN if is_best else style.BLUE
            seen = [min(max(height, shown.low), shown.high) for height in column]  # beyond the axis: at its edge
            if len(seen) > 1:
                panel.plot([x, x], [min(seen), max(seen)], color=style.SKY, linewidth=1.2, zorder=2)
            for y, height in zip(seen, column, strict=True):
                is_inside = shown.low < height < shown.high
                panel.plot(
                    x,
                    y,
                    "o" if is_inside else "v" if y == shown.low else "^",
                    color=colour,
                    markerfacecolor="white" if is_pruned else colour,
                    markersize=6.5 if is_best else small,
                    label=name if is_inside else "worse than shown",
                    zorder=5 if is_best else 3,
                )


def _means(panel: style.Axes, group: Group, axis: Axis, key: str) -> None:
    """Draw the mean of the finished jobs for each value of a key."""
    found: dict[str, list[float]] = {}
    for row in group.rows:
        for job in row.jobs:
            if job.pruned_after is None and math.isfinite(job.objective):
                found.setdefault(job.values.get(key, ""), []).append(job.objective)
    means = sorted((axis.at(value), fmean(objectives)) for value, objectives in found.items())
    lines = [list(zip(*((axis.drawn(place), mean) for place, mean in means), strict=True))]
    if axis.names:
        lines = [[(place - 0.36, place + 0.36), (mean, mean)] for place, mean in means]
    for line in lines if len(found) <= MOST_MEANS else []:
        panel.plot(*line, color=style.DARK, linewidth=1.2, label="mean over other keys", zorder=2)


def _ticks(panel: style.Axes, axis: Axis) -> None:
    """Label names, or numbers where they are few."""
    if axis.names:
        names = [style.short(brief(name) or "-", 14) for name in axis.names]
        panel.set_xticks(range(len(names)), labels=names)
        if sum(map(len, names)) > 30:
            panel.tick_params("x", labelrotation=30)
        panel.set_xlim(-0.6, len(names) - 0.4)
        return
    if axis.is_logarithmic:
        style.logarithmic(panel.xaxis)
    if len(axis.numbers) <= MOST_TICKS:
        panel.set_xticks(axis.numbers, labels=[f"{value:.4g}" for value in axis.numbers])
        panel.minorticks_off()
