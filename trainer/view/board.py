"""TensorBoard: scalars, the model's graph, the config, and hyper-parameters with their results, in one event file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


def hyper_parameters(cfg: DictConfig, names: Mapping[str, str]) -> dict[str, Any]:
    """Dotted key -> value of all that was chosen; a component stands as its name, such as model -> resnet."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    found: dict[str, Any] = dict(names)
    for key, value in plain.items():
        if key in (
            "dry_run",
            "resume",
            "checkpoint",
            "plots",
            "sweep",
            "tensorboard",
        ):  # how a run is kept, and not what it is
            continue
        if isinstance(value, dict):
            found |= {f"{key}.{name}": item for name, item in value.items() if name != "_target_"}
        else:
            found[key] = value
    return found


class Board:
    """Writes to `folder`. Tags: `train/…`, `val/…`, `best/…`, `test/…`, `lr`, `gradient_norm`."""

    def __init__(
        self, folder: Path, hyper_parameters: Mapping[str, Any], results: list[str], goes_on_at: int | None = None
    ) -> None:
        # What an interrupted run has written from that step on is not shown: this one writes it again.
        self.writer = SummaryWriter(str(folder), purge_step=goes_on_at)
        # The dashboard joins a run's hyper-parameters with its scalars only if they lie in the same event file,
        # which SummaryWriter.add_hparams does not do.
        values = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in hyper_parameters.items()}
        experiment, start, self.end = hparams(values, dict.fromkeys(results, 0.0))
        self.goes_on = goes_on_at is not None
        if not self.goes_on:
            self._add(experiment, 0)
            self._add(start, 0)

    def _add(self, summary: Summary, step: int) -> None:
        self.writer._get_file_writer().add_summary(summary, step)

    def describe(self, model: nn.Module, sample: Tensor, config: str) -> None:
        """The graph of the model as it reads `sample`, and the config as text; a run that goes on has them."""
        if self.goes_on:
            return
        self.writer.add_text("config", "\n".join(f"    {line}" for line in config.splitlines()))
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # about the tracer, which TensorBoard's graph format needs
                traced = torch.jit.trace(model.eval(), sample, check_trace=False)  # to check it takes twice as long
                self.writer.add_graph(traced, sample)
        except Exception as error:
            self.writer.add_text("graph", f"The model could not be traced: {error}")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Tag -> value, as one event: a SummaryWriter call for each takes ten times as long."""
        self._add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def flush(self) -> None:
        """Everything so far on disk."""
        self.writer.flush()

    def close(self, step: int, results: Mapping[str, float]) -> None:
        """The results that the hyper-parameters led to."""
        self.scalars(step, results)
        self._add(self.end, step)
        self.writer.close()
