"""The loop. No input or output, no config: it receives finished parts and yields reports.

`B` is the size of a batch, `K` the number of outputs of the model.
"""

from __future__ import annotations

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
        """Choose the order of the next pass, and the batch that it starts at."""

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""


class Shortcut:
    """Another way to make an update than the loop's own; this one, the neutral value, makes none."""

    def __call__(self, window: list[Batch], size: int) -> Tensor | None:
        """Make an update with the window's `size` examples and return its loss, or leave it to the loop."""
        return None

    def gain(self) -> dict[str, float]:
        """Return what it has gained, in seconds, where that was measured."""
        return {}


class Position(NamedTuple):
    """Where a run stands."""

    epoch: int = 1  # the one in progress
    batch: int = 0  # batches of it that were trained on
    num_examples: int = 0  # trained on, in all epochs


class Report(NamedTuple):
    """After an update; at the end of an epoch once more, with the metrics of both splits."""

    epoch: int  # from 1
    step: int  # updates made
    num_examples: int  # trained on
    loss: Tensor  # of the last update, shape (), on the device
    position: Position  # to go on from
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
    """Train, and report each update and each epoch. `meters` are for training and validation.

    `lap` is told, after each part of the work, what the time since it was last called went to. `shortcut` may make an
    update in its own way, and gives nothing where it does not.
    """
    train_meter, val_meter = meters
    first, batch, num_examples = start

    def gradient(window: list[Batch], size: int, observe: Callable[..., Any] = lambda *_: None) -> Tensor:
        """Mean loss of an update's `size` examples; its gradient is left in the parameters."""
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
    """Loss and metrics over all examples, whatever the size of the batches."""
    model.eval()
    for inputs, targets in batches:
        outputs, value = forward(model, loss, inputs, targets, autocast)
        meter.update(outputs, targets, value)
    return meter.compute()


def forward(
    model: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, autocast: AbstractContextManager
) -> tuple[Tensor, Tensor]:
    """Return the model's outputs `(B, K)`, in single precision at least, and their mean loss, shape `()`."""
    with autocast:
        outputs = model(inputs)
    outputs = full(outputs)
    return outputs, loss(outputs, targets)


def full(outputs: Tensor) -> Tensor:
    """At least single precision: a loss or a metric of numbers of 16 bits would have three digits."""
    return outputs if outputs.dtype.itemsize >= 4 else outputs.float()


def windows(batches: Iterable[Batch], accumulate: int) -> Iterator[tuple[list[Batch], int]]:
    """The batches of one update, `accumulate` of them or, at the end, fewer; and how many examples they hold."""
    rest = iter(batches)
    while window := list(islice(rest, accumulate)):
        yield window, sum(len(targets) for _, targets in window)
