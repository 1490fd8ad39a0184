"""The boards that write: `basic` what takes no time, `full` all that TensorBoard has a page for; in one event file."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from trainer.view.board import Board, projector, summaries
from trainer.view.board.histograms import histograms
from trainer.view.layers import Layer
from trainer.view.outcome import Outcome

log = logging.getLogger("dltrain")
FAILED = ".failed"  # ends the name of the event file that says so


class Basic(Board):
    """Writes scalars as `train/…` `val/…` `update/…` `best/…` `test/…`, which share a chart, HParams, the config."""

    def __init__(
        self, folder: Path, hyper_parameters: Mapping[str, Any], metrics: Sequence[str], resumes_at: int | None
    ) -> None:
        self.folder, self.start = folder, resumes_at or 0
        self.resumes = resumes_at is not None and any(folder.glob("events*"))
        # Hides what an interrupted run has written from that step on, since this one writes it again. A server takes
        # the first such mark of a run for its start, and heeds those that follow.
        self.writer = SummaryWriter(str(folder), purge_step=self.start)
        if not self.resumes:
            # In the same file as the scalars, or HParams would not join them; SummaryWriter.add_hparams makes another.
            self._add(0, summaries.session_start(hyper_parameters))
            self._add(0, summaries.layout(metrics))
        for file in folder.glob(f"events*{FAILED}"):
            file.unlink()

    def _add(self, step: int, summary: Summary) -> None:
        self.writer._get_file_writer().add_summary(summary, step)

    def hint(self, root: str) -> list[str]:
        """Return a line that says how to view the logs below `root`."""
        return [f"board  tensorboard --logdir {root}"]

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """Write the config."""
        self.writer.add_text("config", summaries.code(config), self.start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars as one event: a SummaryWriter call for each takes ten times as long."""
        self._add(step, Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]))

    def flush(self) -> None:
        """Flush everything to disk."""
        self.writer.flush()

    def end(self, step: int, results: Mapping[str, float], rows: Sequence[tuple[str, Mapping[str, float]]]) -> None:
        """Write the final results for the hyperparameters and as a table, and flush."""
        self.scalars(step, results)
        self.writer.add_text("results", summaries.results(rows), step)
        self._add(step, summaries.session_end(STATUS_SUCCESS))
        self.flush()

    def fail(self) -> None:
        """Mark the run as failed, in a file that resuming deletes: TensorBoard keeps the first end that it reads."""
        with suppress(OSError):
            writer = SummaryWriter(str(self.folder), filename_suffix=FAILED)
            writer._get_file_writer().add_summary(summaries.session_end(STATUS_FAILURE), 0)
            writer.close()
            self.flush()

    def close(self) -> None:
        """Close the log."""
        self.writer.close()


class Full(Basic):
    """Adds the graph, environment and layers as text, pictures, histograms, PR curves and the projector's files."""

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """Write config, environment and layers as text and, at the first start, the graph."""
        super().describe(model, sample, layers, config, environment)
        self.writer.add_text("environment", summaries.environment(environment), self.start)
        self.writer.add_text("model", summaries.layers(layers), self.start)
        if self.resumes:
            return
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # about the tracer, which TensorBoard's graph format needs
                traced = torch.jit.trace(model.eval(), sample, check_trace=False)  # checking would take twice as long
                self.writer.add_graph(traced, sample)
        except Exception as error:
            self.writer.add_text("graph", f"The model could not be traced: {error}")

    def show(self, step: int, outcome: Outcome, drawn: Mapping[str, Path], say: Callable[[str], None]) -> None:
        """Write each page of TensorBoard that has something to show for this task."""
        pages = {  # generators: each starts below
            "images": summaries.images(drawn, step),
            "histograms": histograms(outcome, self.start, step),
            "PR curves": summaries.pr_curves(outcome, step),
        }
        for page, events in pages.items():
            with _spared(page, say):
                for at, summary in events:
                    self._add(at, summary)
        with _spared("projector", say):
            projector.write(self.folder, outcome)


@contextmanager
def _spared(page: str, say: Callable[[str], None]) -> Iterator[None]:
    """Report a page that fails in a line, since the run has not; a full disk is for the caller to report."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        log.exception("TensorBoard's page %s", page)
        say(f"warning: TensorBoard's page {page} is incomplete: {type(error).__name__}: {error}")
