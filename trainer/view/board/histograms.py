"""How weights and their gradients were distributed while a run learned; made at its end from what it has recorded."""

import time
from collections.abc import Iterator, Sequence

import torch
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor

from trainer.engine.loop import full
from trainer.view.outcome import Outcome, evenly_spaced

BINS = 30  # TensorBoard draws no more
STEPS = 20  # at most, evenly spaced
HISTOGRAMS = 4000  # at most, of all tensors at all steps; half a kilobyte each
EXAMPLES = 32  # of the training batch whose gradients are taken
GRADIENTS_S = 0.5  # that gradients before the last may take


def histograms(outcome: Outcome, first: int, end: int) -> Iterator[tuple[int, Summary]]:
    """Yield `weights/<name>` and `gradients/<name>` at recorded steps from `first` on, and at `end` of tested weights.

    Weights that were too many to be recorded have only those of the end.
    """
    names, weights = list(outcome.recorder.parameters), outcome.recorder.weights
    path = [(step, values) for step, values in zip(weights.steps, weights.items, strict=True) if step >= first]
    path = _spread(path, min(STEPS, HISTOGRAMS // (2 * len(names))) - 1)
    path.append((end, [parameter.detach() for parameter in outcome.model.parameters()]))
    for step, values in path:
        yield step, _summary("weights", dict(zip(names, values, strict=True)))
    for step, found in _gradients(outcome, path):
        yield step, _summary("gradients", {name: g for name, g in zip(names, found, strict=True) if g is not None})


def _spread(items: list[tuple[int, list[Tensor]]], most: int) -> list[tuple[int, list[Tensor]]]:
    """Return at most `most` of them, evenly spaced, the first and the last included; none if only one is allowed."""
    return [items[place] for place in evenly_spaced(len(items), most).tolist()] if most > 1 else []


def _summary(group: str, values: dict[str, Tensor]) -> Summary:
    return Summary(value=[Summary.Value(tag=f"{group}/{name}", histo=histogram(v)) for name, v in values.items()])


def histogram(values: Tensor) -> HistogramProto:
    """Count in `BINS` bins of equal width between the smallest and the largest."""
    values = values.detach().float().cpu().flatten()
    low, high = values.min().item(), values.max().item()
    if low == high:
        low, high = low - 0.5, high + 0.5
    return HistogramProto(
        min=low,
        max=high,
        num=len(values),
        sum=values.sum().item(),
        sum_squares=values.square().sum().item(),
        bucket_limit=torch.linspace(low, high, BINS + 1, dtype=torch.float64)[1:].tolist(),
        bucket=torch.histc(values, BINS, low, high).tolist(),
    )


def _gradients(outcome: Outcome, path: list[tuple[int, list[Tensor]]]) -> Iterator[tuple[int, list[Tensor | None]]]:
    """Yield gradients of the loss of one training batch at the end of the path, and before as many as time allows.

    In training mode, on a copy: batch norm then uses the statistics of the batch, and moves none of the model's.
    """
    model = outcome.eager().train()
    inputs, targets = (part[:EXAMPLES] for part in next(iter(outcome.data.train)))

    def at(values: Sequence[Tensor]) -> list[Tensor | None]:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(value)
        model.zero_grad()
        outcome.loss(full(model(inputs)), targets).backward()
        return [parameter.grad for parameter in model.parameters()]

    start = time.perf_counter()
    end, last = path[-1][0], at(path[-1][1])
    seconds = time.perf_counter() - start
    for step, values in _spread(path[:-1], int(GRADIENTS_S / seconds)):
        yield step, at(values)
    yield end, last
