"""What a run that has ended leaves to look at; pictures and TensorBoard's end of a run are drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from trainer.data.tensors import DataSpec, Loaders
from trainer.engine.loop import Loss
from trainer.engine.trace import Trace


@dataclass(frozen=True)
class Outcome:
    """`N` examples of the test split, `K` outputs of the model."""

    names: Mapping[str, str]  # what was chosen, such as model -> resnet
    spec: DataSpec
    data: Loaders
    model: nn.Module  # with the weights that the validation split chose, on its device
    loss: Loss
    history: Sequence[
        Mapping[str, float]
    ]  # a row an epoch, as in metrics.csv: epoch, step, seconds, lr, train/..., ...
    best_epoch: int
    recorder: Trace  # losses and weights of the updates
    outputs: Tensor  # (N, K) of the model on the test split, on the CPU: values, standardised, or logits
    targets: Tensor  # (N, 1) float or (N,) int64, likewise
