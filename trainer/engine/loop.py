"""The training loop. It knows no files and no config: it takes finished parts and yields reports.

`B` is the size of a batch, `K` the number of outputs of the model.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from trainer.engine.meter import Meter
from trainer.engine.update import Update

Batch = tuple[Tensor, Tensor]  # inputs (B, *in_shape), targets (B,) or (B, 1)
Loss = Callable[[Tensor, Tensor], Tensor]  # outputs (B, K), targets -> mean, shape ()


class Loader(Protocol):
    """Passes over a split; the order of each is a function of the epoch."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the order of the next pass and the batch it starts at."""

    def __iter__(self) -> Iterator[Batch]:
        """Make one pass."""


class Shortcut:
    """An alternative to the loop's own update; this one, the neutral value, makes none."""

    def __call__(self, window: list[Batch], size: int) -> Tensor | None:
        """Make an update with the window's `size` examples and return its loss, or None to leave it to the loop."""
        return None

    def gain(self) -> dict[str, float]:
        """Return the measured gain in seconds, if any."""
        return {}


class Position(NamedTuple):
    """Where a run stands."""

    epoch: int = 1  # the one in progress
    batch: int = 0  # batches of it trained on
    num_examples: int = 0  # trained on, in all epochs


class Report(NamedTuple):
    """The state after an update; the end of an epoch has one more report, with the metrics of both splits."""

    epoch: int  # from 1
    step: int  # updates made
    num_examples: int  # trained on
    loss: Tensor  # of the last update, shape (), on the device
    position: Position  # to resume from
    train: dict[str, float] = {}
    val: dict[str, float] = {}


def fit(
    model: nn.Module,
    loss: Loss,
    train: Loader,
    val: Iterable[Batch],
    update: Update,
    meters: tuple[Meter, Meter],
    *,
    epochs: int,
    autocast: AbstractContextManager,
    track: Callable[[Iterable[Batch]], Iterable[Batch]] = iter,
    lap: Callable[[str], None] = lambda part: None,
    shortcut: Shortcut = Shortcut(),  # noqa: B008 - has no state
    start: Position = Position(),  # noqa: B008 - immutable
) -> Iterator[Report]:
    """Train, and yield a report for each update and each epoch. `meters` are for training and validation.

    `lap(part)` is called after each part of the work, to time it. `shortcut` may make an update instead of the loop.

    Raises:
        NumericalError: the loss is not finite.
    """
    train_meter, val_meter = meters
    first, batch, num_examples = start

    def gradient(window: list[Batch], size: int, observe: Callable[..., Any] = lambda *_: None) -> Tensor:
        """Return the mean loss of an update's `size` examples, with its gradient in the parameters."""
        update.zero_grad()
        for inputs, targets in window:
            outputs, value = forward(model, loss, inputs, targets, autocast)
            lap("forward")
            update.backward(value, len(targets) / size)
            lap("backward")
            observe(outputs, targets, value)
        return update.loss

    for epoch in range(first, epochs + 1):
        model.train()
        train.set_epoch(epoch, batch)
        for window, size in windows(track(train), update.accumulate):
            lap("data")
            value = shortcut(window, size)
            if value is None:
                value = gradient(window, size, train_meter.update)
                update.step(partial(gradient, window, size))
            lap("update")
            batch, num_examples = batch + len(window), num_examples + size
            yield Report(epoch, update.num_steps, num_examples, value, Position(epoch, batch, num_examples))
        results = evaluate(update.averaged_model, loss, val, val_meter, autocast=autocast)
        lap("evaluation")
        batch, position = 0, Position(epoch + 1, 0, num_examples)
        yield Report(epoch, update.num_steps, num_examples, update.loss, position, train_meter.compute(), results)


@torch.no_grad()
def evaluate(
    model: nn.Module, loss: Loss, batches: Iterable[Batch], meter: Meter, *, autocast: AbstractContextManager
) -> dict[str, float]:
    """Return loss and metrics over all examples, independent of the batch size."""
    model.eval()
    for inputs, targets in batches:
        outputs, value = forward(model, loss, inputs, targets, autocast)
        meter.update(outputs, targets, value)
    return meter.compute()


def forward(
    model: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, autocast: AbstractContextManager
) -> tuple[Tensor, Tensor]:
    """Return the model's outputs `(B, K)`, at least in single precision, and their mean loss, shape `()`."""
    with autocast:
        outputs = model(inputs)
    outputs = full(outputs)
    return outputs, loss(outputs, targets)


def full(outputs: Tensor) -> Tensor:
    """Return outputs in at least single precision: in 16 bits a loss or metric would have three digits."""
    return outputs if outputs.dtype.itemsize >= 4 else outputs.float()


def windows(batches: Iterable[Batch], accumulate: int) -> Iterator[tuple[list[Batch], int]]:
    """Yield the batches of each update, `accumulate` of them or, at the end, fewer, and their number of examples."""
    rest = iter(batches)
    while window := list(islice(rest, accumulate)):
        yield window, sum(len(targets) for _, targets in window)
