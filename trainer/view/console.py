"""What a run prints in the terminal, and keeps in its log."""

from __future__ import annotations

import heapq
import io
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer import __version__
from trainer.data.tensors import DataSpec, Loaders
from trainer.engine.loop import Report
from trainer.errors import printable
from trainer.view.layers import Layer
from trainer.view.terminal import Terminal
from trainer.view.words import number, shown

log = logging.getLogger("dltrain")
REFRESH_S = 0.1
ROWS = 25
WIDTH = 78  # columns of a row
Results = list[tuple[str, Mapping[str, float]]]  # title of a row, and its metrics by name
GAP = 3  # columns between those of a table
BOUNDS = (" 95 % from", "      to")  # titles of the rows below a result
MOST_PARAMETERS = 20  # of one name that are shown, the largest


class Console:
    """A context manager that shows a row per epoch and, in a terminal, a progress bar.

    With many epochs, about `ROWS` of them get a row; metrics.csv has them all.
    """

    def __init__(self, epochs: int, total_steps: int, metric: str) -> None:
        self.terminal = Terminal(width=None if sys.stdout.isatty() else 120)
        self.is_narrow = self.terminal.width < WIDTH
        self.epochs, self.metric, self.value, self.has_title = epochs, metric, "", False
        self.progress = Progress(
            TextColumn(f"epoch {{task.fields[epoch]}}/{epochs}"),
            *([] if self.is_narrow else [BarColumn(20), MofNCompleteColumn()]),
            TextColumn("loss {task.fields[loss]} {task.fields[metric]}"),
            *([] if self.is_narrow else [TextColumn("{task.fields[speed]} samples/s")]),
            TimeRemainingColumn(compact=True),
            console=self.terminal,
            auto_refresh=False,
            transient=True,
            disable=not self.terminal.is_terminal,
        )
        self.task = self.progress.add_task("", total=total_steps, epoch=1, loss="-", metric="", speed="-")

    def __enter__(self) -> Console:
        self.progress.start()
        self.start = self.epoch_start = time.perf_counter()
        self.refresh_at, self.counted = 0.0, 0
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, *parts: Any) -> None:
        """Print text or tables, and keep them in the log."""
        for part in parts:
            text = part
            if not isinstance(part, str):
                self.terminal.print(part)
                file = io.StringIO()
                Terminal(file=file, width=100).print(part)
                text = f"\n{file.getvalue().rstrip()}"
            elif self.terminal.is_terminal:  # never wrapped, so that a path or a command can be copied
                self.terminal.print(part, soft_wrap=True)
            else:  # without a bar to keep below the text, rich would only cost a millisecond
                try:
                    print(printable(part), file=self.terminal.file, flush=True)
                except BrokenPipeError:
                    self.terminal.on_broken_pipe()
            log.info("%s", text)

    def step(self, report: Report) -> None:
        """Move the bar. Reads the loss, which waits for the device, at most ten times a second."""
        now = time.perf_counter()
        if now < self.refresh_at or self.progress.disable:
            return
        self.refresh_at = now + REFRESH_S
        self.progress.update(
            self.task,
            completed=report.step,
            epoch=report.epoch,
            loss=number(float(report.loss)),
            metric=self.value,
            speed=f"{report.num_examples / (now - self.start):,.0f}",
            refresh=True,
        )

    def epoch(self, report: Report, best: bool) -> None:
        """Show loss and metric of both splits, a star for the best so far, and the speed since the last row."""
        self.value = f"{self.metric} {number(report.val[self.metric])}"
        if report.epoch % max(1, self.epochs // ROWS) and self.has_title and report.epoch < self.epochs:
            return
        is_first, self.has_title = not self.has_title, True
        rows = [[number(m[n]) if n in m else "" for n in ("loss", self.metric)] for m in (report.train, report.val)]
        now, count, star = time.perf_counter(), f"{report.epoch}/{self.epochs}", "*" if best else " "
        seconds = now - self.epoch_start
        speed = (report.num_examples - self.counted) / seconds
        if self.is_narrow:
            if is_first:
                self.say(f"   epoch  val loss {self.metric:>9}")
            self.say(f"{count:>8} {rows[1][0]:>9} {rows[1][1]:>9} {star}")
        else:
            if is_first:
                self.say(f"{'training':>28}{'validation':>22}")
                self.say(f"   epoch {'loss':>9} {self.metric:>9}   {'loss':>9} {self.metric:>9}    samples/s  seconds")
            losses = "   ".join(f"{loss:>9} {metric:>9}" for loss, metric in rows)
            self.say(f"{count:>8} {losses} {star} {speed:>11,.0f} {seconds:>8.1f}")
        self.counted, self.epoch_start = report.num_examples, now


def header(cfg: DictConfig, names: Mapping[str, str], device: torch.device, data: Loaders, spec: DataSpec) -> list[str]:
    """Describe machine, data and model in a few lines."""
    threads = torch.get_num_threads()
    where = f"{device} ({threads} thread{'s' * (threads > 1)})" if device.type == "cpu" else str(device)
    if device.type == "cuda":
        where += f" ({torch.cuda.get_device_name(device)})"
    sizes = ", ".join(
        f"{len(loader.targets):,} {name}" for name, loader in zip(("train", "validation", "test"), data, strict=True)
    )
    classes = f", {len(spec.class_names)} classes" if spec.class_names else ""
    return [
        f"dltrain {__version__}, torch {torch.__version__}, {where}, {cfg.precision}, seed {cfg.seed}",
        f"data   {names['data']}: {spec.task}{classes}, inputs {spec.in_shape}",
        f"       {sizes}, batches of {data.train.sizes[0]:,}",
        *(f"       {note}" for note in spec.notes),
        f"model  {names['model']}, loss {names['loss']}, optim {names['optim']}, scheduler {names['scheduler']}",
    ]


def log_root(folder: Path) -> str:
    """Return the folder for TensorBoard: the one of all runs, if this run is in it."""
    return next((shown(parent) for parent in folder.absolute().parents if parent.name == "outputs"), shown(folder))


def shares(seconds: Mapping[str, float]) -> str:
    """Format the time of each part in percent of the total."""
    total = sum(seconds.values()) or 1.0
    return ", ".join(f"{part} {100 * spent / total:.0f} %" for part, spent in seconds.items())


def gain_line(gain: Mapping[str, float]) -> list[str]:
    """Describe the time of a compiled update, and after how many of them compiling pays off."""
    if not gain:
        return []
    saved = gain["before_s"] - gain["update_s"]
    even = f"pays off after {gain['compile_s'] / saved:,.0f} updates" if saved > 0 else "no gain"
    times = f"{1e6 * gain['update_s']:,.0f} us per update instead of {1e6 * gain['before_s']:,.0f}; {even}"
    return [f"compiled      in {gain['compile_s']:.1f} s: {times}"]


def results_tables(rows: Results, width: int) -> list[Table]:
    """Return tables with a row for each of validation, test and baselines, and a column for each metric.

    Metrics for which a table of this width has no room are in the next one.
    """
    titles, room = [title for title, _ in rows], 0
    parts: list[dict[str, list[str]]] = []
    for name in dict.fromkeys(name for _, values in rows for name in values):
        column = [number(values[name]) if name in values else "" for _, values in rows]
        needs = GAP + max(map(len, [name, *column]))
        if needs > room:
            parts.append({})
            room = max(width - 2 * GAP - max(map(len, titles)), needs)
        parts[-1][name] = column
        room -= needs
    return [_table(["", *part], zip(titles, *part.values(), strict=True), right=1) for part in parts]


def with_bounds(title: str, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> Results:
    """Return rows of the results table: the values and, if there are any, the ends of their 95 % intervals."""
    ends = [{name: bounds[end] for name, bounds in intervals.items()} for end in (0, 1)]
    return [(title, values), *(zip(BOUNDS, ends, strict=True) if intervals else ())]


def layers_table(layers: Iterable[Layer]) -> Table:
    """Return a table with a row per layer: name, kind, output shape, parameters."""
    cells = [[name, kind, str(shape), f"{number:,}" if number else ""] for name, kind, shape, number in layers]
    return _table(["layer", "kind", "output", "parameters"], cells, right=3)


def parameters_table(learned: Mapping[str, list[float]], spec: DataSpec) -> Table:
    """Return a table of a linear model's parameters: the learned value and, where known, the true one."""
    cells = []
    for name, values in learned.items():
        rows = enumerate(zip(values, spec.true_parameters.get(name, [None] * len(values)), strict=True))
        for index, row in sorted(heapq.nlargest(MOST_PARAMETERS, rows, key=lambda item: abs(item[1][0]))):
            title = f"{name}  {spec.feature_names[index]}" if name == "w" else name
            cells.append([title, *(f"{value:.5g}" for value in row if value is not None)])
        if len(values) > MOST_PARAMETERS:
            cells.append([f"{name}  {len(values) - MOST_PARAMETERS:,} smaller ones", ""])
    return _table(["parameter", "learned", *(["true"] if spec.true_parameters else [])], cells, right=1)


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]], right: int) -> Table:
    """Return a table whose columns from `right` on are right-aligned."""
    table = Table(box=box.SIMPLE_HEAD)
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < right else "right")
    for row in rows:
        table.add_row(*row)
    return table
