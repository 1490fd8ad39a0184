"""Batches of examples that do not lie in memory: read while training, by processes of their own."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainer.data.tensors import BatchLoader, Examples
from trainer.errors import DataError


class Stored(Protocol):
    """The inputs of `N` examples, where they are stored; has to be picklable."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, index: slice | Tensor) -> Stored:
        """Those at the index, still unread."""

    def read(self, index: Sequence[int]) -> Tensor:
        """Those at the `B` places, shape `(B, *in_shape)`.

        Raises:
            DataError: one that cannot be read.
        """


class StreamLoader(BatchLoader):
    """Batches read by `workers` processes, two ahead each; with 0, read in this process when they are asked for.

    The processes are told which examples make a batch, so that it is the same for any number of them. They start with
    the first pass and end with the loader. One pass at a time: a new one ends the one before it.
    """

    def __init__(self, examples: Examples, batch_size: int, *, workers: int, **options: Any) -> None:
        super().__init__(examples.targets, batch_size, **options)
        self.inputs: Stored = examples.inputs
        self.plan: list[list[int]] = []  # the batches of the pass to come
        with _as_told():
            self.reader = DataLoader(
                _Batches(examples.inputs),
                batch_size=None,
                sampler=self.plan,
                collate_fn=_unchanged,
                num_workers=workers,
                persistent_workers=workers > 0,
                worker_init_fn=_settle,
                pin_memory=self.targets.is_cuda,
                generator=torch.Generator(),  # not the one that weights and dropout are drawn from
            )

    def stored(self, index: Tensor) -> Tensor:
        """The inputs at the index, shape `(B, *in_shape)`, as they are stored, on the CPU; `prepare` reads them."""
        return self.inputs.read(index.tolist())

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        order, sizes = self.order()
        self.plan[:] = (index.tolist() for index in order.split(sizes))
        with _as_told():
            batches = iter(self.reader)
        for targets in self.targets[order.to(self.targets.device)].split(sizes):
            try:
                batch = next(batches)
            except (RuntimeError, OSError, EOFError) as error:
                raise DataError(
                    f"a process that reads the data has ended ({error}): killed, or out of memory or of shared memory "
                    "(/dev/shm); try data.workers=0"
                ) from error
            if isinstance(batch, Exception):
                raise batch
            yield self.prepare(batch.to(targets.device, non_blocking=self.reader.pin_memory)), targets


class _Batches(Dataset[Any]):
    """What a process does: it reads a batch. It hands an error over: raised, it would arrive with a traceback."""

    def __init__(self, inputs: Stored) -> None:
        self.inputs = inputs

    def __getitem__(self, index: list[int]) -> Tensor | Exception:
        try:
            return self.inputs.read(index)
        except (DataError, MemoryError) as error:
            return error


def _unchanged(batch: Any) -> Any:
    return batch


def _settle(_: int) -> None:
    """Only the main process says what is to say, and it may end this one."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.excepthook = lambda *_: None


@contextmanager
def _as_told() -> Iterator[None]:
    """Without torch's advice on the number of workers, and without its handler of SIGCHLD.

    That would raise the end of a worker out of any line that runs at the time; the next batch asked for tells it too.
    Ctrl-C reaches every process of a terminal, and the main one decides what to do about it: the others start with
    it blocked, and it waits for the moment that this takes.
    """
    here = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if here else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if here:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
