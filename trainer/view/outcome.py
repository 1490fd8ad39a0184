"""What is left of a finished run to look at: pictures and the last page of TensorBoard are drawn from it."""

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

    names: Mapping[str, str]  # slot -> option, such as model -> resnet
    spec: DataSpec
    data: Loaders
    model: nn.Module  # with the weights of the best epoch, on its device
    loss: Loss
    history: Sequence[Mapping[str, float]]  # per epoch, as in metrics.csv: epoch, step, seconds, lr, train/..., val/...
    best_epoch: int
    recorder: Trace  # losses and weights of the updates
    outputs: Tensor  # (N, K) on the test split, on the CPU: standardised values, or logits
    targets: Tensor  # (N, 1) float or (N,) int64, likewise
