"""The boards that write: `basic` what takes no time, `full` all that TensorBoard has a page for; in one event file."""

from __future__ import annotations

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
        self, folder: Path, hyper_parameters: Mapping[str, Any], results: list[str], resumes_at: int | None = None
    ) -> None:
        self.folder, self.start = folder, resumes_at or 0
        self.resumes = resumes_at is not None and any(folder.glob("events*"))
        # What an interrupted run has written from that step on is not shown: this one writes it again. A server takes
        # the first such mark of a run for its begin, and heeds those that follow.
        self.writer = SummaryWriter(str(folder), purge_step=self.start)
        # The dashboard joins a run's hyper-parameters with its scalars only if they lie in the same folder, where
        # SummaryWriter.add_hparams does not write them.
        if not self.resumes:
            self._add(0, summaries.session_start(hyper_parameters))
            self._add(0, summaries.layout(results))
        for file in folder.glob(f"events*{FAILED}"):
            file.unlink()

    def _add(self, step: int, summary: Summary) -> None:
        self.writer._get_file_writer().add_summary(summary, step)

    def hint(self, root: str) -> list[str]:
        """A line that says how to look at what is written below `root`."""
        return [f"board  tensorboard --logdir {root}"]

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """The config."""
        self.writer.add_text("config", summaries.code(config), self.start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Tag -> value, as one event: a SummaryWriter call for each takes ten times as long."""
        self._add(step, Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]))

    def flush(self) -> None:
        """Everything so far on disk."""
        self.writer.flush()

    def end(self, step: int, results: Mapping[str, float]) -> None:
        """The results that the hyper-parameters led to, on disk."""
        self.scalars(step, results)
        self._add(step, summaries.session_end(STATUS_SUCCESS))
        self.flush()

    def fail(self) -> None:
        """Said in a file of its own: the first end of a run that TensorBoard reads is kept, and this may go on."""
        with suppress(OSError):
            writer = SummaryWriter(str(self.folder), filename_suffix=FAILED)
            writer._get_file_writer().add_summary(summaries.session_end(STATUS_FAILURE), 0)
            writer.close()
            self.flush()

    def close(self) -> None:
        """Nothing follows."""
        self.writer.close()


class Full(Basic):
    """Adds the graph, environment and layers as text, pictures, histograms, PR curves and the projector's files."""

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """Config, environment and layers as text; at its first start also the graph."""
        super().describe(model, sample, layers, config, environment)
        self.writer.add_text("environment", summaries.environment(environment), self.start)
        self.writer.add_text("model", summaries.layers(layers), self.start)
        if not self.resumes:
            self._graph(model, sample)

    def _graph(self, model: nn.Module, sample: Tensor) -> None:
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # about the tracer, which TensorBoard's graph format needs
                traced = torch.jit.trace(model.eval(), sample, check_trace=False)  # to check it takes twice as long
                self.writer.add_graph(traced, sample)
        except Exception as error:
            self.writer.add_text("graph", f"The model could not be traced: {error}")

    def show(self, step: int, outcome: Outcome, drawn: Mapping[str, Path], say: Callable[[str], None]) -> None:
        """Each page of TensorBoard that has something to show for this task."""
        pages = {  # generators: each begins below
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
    """A page that cannot be made is no reason for a run to fail at its end; a full disk is for the caller to tell."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        log.exception("TensorBoard's page %s", page)
        say(f"warning: TensorBoard's page {page} is not complete: {type(error).__name__}: {error}")
