"""Every log of a run in one object: the terminal, metrics.csv, TensorBoard, the trace for pictures, the clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainer.build.training import TrainingParts
from trainer.engine.clock import Clock
from trainer.engine.loop import Position, Report
from trainer.engine.trace import KeepingMeter, Trace
from trainer.engine.update import Update
from trainer.errors import Halted, NumericalError, Stopped
from trainer.runs.folder import MetricsFile, RunFolder
from trainer.view import console as view
from trainer.view import pictures
from trainer.view.board import open_board
from trainer.view.board.columns import hyper_parameters
from trainer.view.layers import layers_of
from trainer.view.outcome import Outcome
from trainer.view.words import shown


class RunLog:
    """Logs the start, an update, an epoch, an interruption, the results and the end, when `train` calls.

    It is a context manager around the training. A log that cannot be written causes one warning and stops no run.
    """

    def __init__(
        self, cfg: DictConfig, run: RunFolder, parts: TrainingParts, where: Mapping[str, Any], resumes_at: int | None
    ) -> None:
        """Open all logs of a run in the environment `where`; TensorBoard drops old points from `resumes_at` on."""
        self.run, self.parts, self.plots, self.every = run, parts, cfg.plots, cfg.log_every
        self.looks_back = bool(pictures.check(cfg.plots)) or str(cfg.tensorboard).lower() == "full"
        self.has_warned, self.rows = False, MetricsFile(run.metrics)
        self.clock = Clock(parts.device, cfg.log_every)
        self.lap = self.clock.lap
        columns = hyper_parameters(cfg, run.names, run.command, run.path)
        self.board = open_board(cfg.tensorboard, run.tensorboard, columns, parts.meter.names, resumes_at)
        self.layers = layers_of(parts.model, parts.sample)
        self.board.describe(parts.model, parts.sample, self.layers, OmegaConf.to_yaml(cfg, resolve=True), where)
        metric = parts.best.monitor if parts.best.monitor != "loss" else parts.meter.names[-1]
        if metric == "mse" and "rmse" in parts.meter.names:
            metric = "rmse"  # in the target's units
        self.console = view.Console(cfg.epochs, parts.total_steps, metric)
        self.say = self.console.say

    def __enter__(self) -> RunLog:
        self.first = self.logged = self.parts.update.num_steps
        self.trace = Trace(self.parts.model, self.first, enabled=self.looks_back)
        self.console.__enter__()
        self.clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self.console.__exit__(kind, *error)
        if kind and issubclass(kind, Exception):
            self.board.fail()
        self.trace.end(self.parts.update.num_steps)  # before other weights are loaded for the test

    @contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self.has_warned:
                self.has_warned = True
                what = f"{error.filename}: " if error.filename else ""
                self.say(f"warning: {what}{error.strerror or error}; training continues, and the logs are incomplete")

    def header(self, cfg: DictConfig, *warnings: str) -> None:
        """Show device, data, model and the run's folder."""
        parts = self.parts
        self.say(*view.header(cfg, self.run.names, parts.device, parts.data, parts.spec), *warnings, *parts.warnings)
        self.say(view.layers_table(self.layers))
        self.say(f"run    {shown(self.run.path)}", *self.board.hint(view.log_root(self.run.path)), "")

    def resumed(self, position: Position) -> None:
        """Report where the run resumes, and drop the rows of epochs that it repeats."""
        self.rows.cut(position.epoch - 1)
        self.say(f"resumed in epoch {position.epoch}, after {self.parts.update.num_steps:,} updates")

    def flush(self) -> None:
        """Write what has been logged to disk."""
        with self._spared():
            self.board.flush()

    def step(self, report: Report) -> None:
        """Move the progress bar, keep what pictures need and, every `log_every` updates, write to TensorBoard.

        Raises:
            NumericalError: the loss is not finite.
        """
        self.console.step(report)
        if report.step >= self.trace.next:
            self.trace.note(report.step, report.loss, self.parts.update.lr)
        ends_epoch = report.position.batch == len(self.parts.data.train)  # a signal may interrupt the validation
        if report.step % self.every == 0 or ends_epoch or report.val:
            values = measured(report, self.parts.update)
            if report.step > self.logged:  # an epoch's last step is reported twice
                self.logged = report.step
                with self._spared():
                    self.board.scalars(report.step, values)
        self.lap("logging")

    def epoch(self, report: Report, improved: bool, seconds: float) -> None:
        """Log the metrics of both splits, after `seconds` of training."""
        scores = tagged(train=report.train, val=report.val)
        times = {"epoch": report.epoch, "step": report.step, "seconds": seconds, "lr": self.parts.update.lr}
        with self._spared():
            self.rows.append(times | scores)
            self.board.scalars(report.step, {tag: value for tag, value in scores.items() if tag != "train/loss"})
        self.console.epoch(report, improved)
        self.lap("logging")

    def interrupted(self, end: Halted | Stopped, position: Position, seconds: float) -> None:
        """Log where the run stopped, and add it to `end`; the run is saved."""
        num_steps = self.parts.update.num_steps
        if isinstance(end, Stopped):
            where = f"in epoch {position.epoch} after {num_steps:,} updates and saved"
            end.where = f"{where}; continue with dltrain resume={shown(self.run.path)}"
            return
        end.about |= {"names": dict(self.run.names), "train_s": seconds}
        with self._spared():
            self.board.scalars(num_steps + 1, tagged(best=self.parts.best.metrics))

    def results(
        self, test: Mapping[str, float], floor: Mapping[str, Mapping[str, float]], learned: Mapping[str, list[float]]
    ) -> None:
        """Show the results next to the baselines, and the parameters of a linear model."""
        best = self.parts.best
        self.say(view.results_table({f"validation, epoch {best.epoch}": best.metrics, "test": test, **floor}))
        if learned:
            self.say(view.parameters_table(learned, self.parts.spec))
        with self._spared():  # one step on, so that resuming replaces it
            self.board.end(self.parts.update.num_steps + 1, tagged(best=best.metrics, test=test))

    def draw(self, model: nn.Module, meter: KeepingMeter) -> None:
        """Draw the pictures of the run and of the tested model, and close the board."""
        parts = self.parts
        if self.looks_back:
            about = (self.run.names, parts.spec, parts.data, model, parts.loss)
            outcome = Outcome(*about, self.rows.rows(), parts.best.epoch, self.trace, *meter.outputs())
            with self._spared():
                drawn = pictures.draw(self.plots, self.run.plots, outcome, self.say)
                self.board.show(parts.update.num_steps + 1, outcome, drawn, self.say)
                if drawn:
                    self.say(f"pictures      {shown(self.run.plots)} ({len(drawn)})")
        with self._spared():
            self.board.close()

    def farewell(self, summary: Mapping[str, Any], hint: str) -> None:
        """Print the time spent, how to make it faster, and where everything is."""
        steps, seconds, speed = (summary[key] for key in ("steps", "train_s", "samples_per_s"))
        self.say(
            f"trained {steps:,} steps in {seconds:.1f} s, {speed:,.0f} samples/s",
            f"time          {view.shares(self.clock.seconds)}",
            *([f"advice        {hint}"] if hint else []),
            *view.gain_line(summary["compiled"]),
            f"best weights  {shown(self.run.weights)}",
            f"summary       {shown(self.run.summary)}",
        )

    @property
    def num_updates(self) -> int:
        """Updates made by this process."""
        return self.parts.update.num_steps - self.first


def tagged(**splits: Mapping[str, float]) -> dict[str, float]:
    """Name each metric of each split as TensorBoard and metrics.csv do, such as train/loss."""
    return {f"{split}/{name}": value for split, metrics in splits.items() for name, value in metrics.items()}


def measured(report: Report, update: Update) -> dict[str, float]:
    """Return an update's scalars for TensorBoard.

    Raises:
        NumericalError: the loss is not finite.
    """
    loss, norm = float(report.loss), float(update.gradient_norm())
    if wrong := [value for value in (loss, report.val.get("loss", loss)) if not math.isfinite(value)][:1]:
        raise NumericalError(
            f"the loss is {wrong[0]} after {report.step} updates (lr {update.lr:g}, gradient norm {norm:g}); "
            "try a smaller optim.lr, or clip=1"
        )
    return {"train/loss": loss, "update/lr": update.lr, "update/gradient_norm": norm}
