"""What is left of a finished run to look at: pictures and the last page of TensorBoard are drawn from it."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.data.tensors import DataSpec, Loaders
from trainer.engine.importance import Judge
from trainer.engine.loop import Loss
from trainer.engine.trace import Trace

POINTS = 3000  # in a scatter plot: more only take time


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
    judge: Judge | None = None  # measures the model by the monitored metric

    def title(self, text: str) -> str:
        """Put the model and the data before `text`."""
        return f"{self.names['model']} on {self.names['data']}: {text}"

    @property
    def has_classes(self) -> bool:
        """Whether the task is a classification."""
        return self.spec.task != "regression"

    @property
    def class_names(self) -> list[str]:
        """The name of each class on one line, or its number where the data has no names."""
        names = self.spec.class_names or map(str, range(max(2, self.spec.out_features)))
        return [" ".join(name.split()) or "-" for name in names]

    @property
    def true_classes(self) -> Tensor:
        """The class numbers `(N,)` of the test split."""
        return labels(self.spec, self.targets)

    def eager(self) -> nn.Module:
        """Copy the model for evaluation, without its compiled graph, which would recompile for every new shape."""
        return copy.deepcopy(self.model).eval()

    def training_batch(self, model: Callable[[Tensor], Tensor], most: int, seconds: float) -> tuple[Tensor, Tensor]:
        """Return training examples from all over the split, without augmentation.

        There are `most` of them, or as many as `model` evaluates in `seconds` of CPU time.
        """
        loader, few = self.data.train, 16

        def read(number: int) -> tuple[Tensor, Tensor]:
            index = evenly_spaced(len(loader.targets), number)
            targets = loader.targets[index.to(loader.targets.device)]
            return loader.prepare(loader.stored(index).to(targets.device)), targets

        with torch.no_grad():
            model(read(1)[0])  # the first call is slower
            affordable = int(few * seconds / cpu_seconds(lambda: model(read(few)[0])))
        return read(max(1, min(most, affordable)))


def labels(spec: DataSpec, targets: Tensor) -> Tensor:
    """Return the class numbers `(N,)` of targets `(N, 1)` or `(N,)`."""
    return (targets > 0.5).flatten().long() if spec.out_features == 1 else targets


def probabilities(logits: Tensor) -> Tensor:
    """Turn logits `(N, K)` or `(N, 1)` into class probabilities `(N, K)` or `(N, 2)`; NaN counts as a logit of 0."""
    logits = logits.double().nan_to_num()
    if logits.shape[1] == 1:
        second = logits.sigmoid()
        return torch.cat([1 - second, second], 1)
    return logits.softmax(1)


def evenly_spaced(number: int, most: int = POINTS) -> Tensor:
    """Return at most `most` evenly spaced indices below `number`."""
    return torch.linspace(0, number - 1, min(number, most), dtype=torch.float64).round().long()


def cpu_seconds(call: Callable[[], object]) -> float:
    """Return the seconds that this thread computes in a call; other processes, which share the cores, hardly matter."""
    start = time.thread_time()
    call()
    return max(1e-9, time.thread_time() - start)  # some clocks are coarse
