"""Batches of examples that are read while training, by worker processes."""

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainer.data.tensors import BatchLoader, Examples
from trainer.errors import STOPS, DataError


class StreamLoader(BatchLoader):
    """Batches read by `workers` processes, two ahead each, or by this process if there are none.

    Batches are the same for any number of workers, which start with the first pass and end with the loader. A new pass
    ends the one before it. The examples' inputs are picklable and know their number, select (`inputs[index]`) without
    reading, and `read(index)` the examples at `B` places as `(B, *in_shape)`, like folder.py's `ImageFiles`.
    """

    def __init__(self, examples: Examples, batch_size: int, *, workers: int, **options: Any) -> None:
        super().__init__(examples, batch_size, **options)
        self.inputs = examples.inputs
        self.plan: list[list[int]] = []  # indices of each batch of the next pass
        with _quiet():
            self.reader = DataLoader(
                _Batches(examples.inputs),
                batch_size=None,
                sampler=self.plan,
                num_workers=workers,
                persistent_workers=workers > 0,
                worker_init_fn=_settle,
                pin_memory=self.targets.is_cuda,
                generator=torch.Generator(),  # not the global one, which weights and dropout use
            )

    def stored(self, index: Tensor) -> Tensor:
        """Return the stored inputs at the index, `(B, *in_shape)`, on the CPU; `prepare` reads them."""
        return self.inputs.read(index.tolist())

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        order, sizes = self.order()
        self.plan[:] = (index.tolist() for index in order.split(sizes))
        with _quiet():
            batches = iter(self.reader)
        for targets in self.targets[order.to(self.targets.device)].split(sizes):
            try:
                batch = next(batches)
            except (RuntimeError, OSError, EOFError) as error:
                raise DataError(
                    f"a data worker died ({error}): killed, or out of memory or shared memory (/dev/shm); "
                    "try data.workers=0"
                ) from error
            if isinstance(batch, Exception):
                raise batch
            yield self.prepare(batch.to(targets.device, non_blocking=self.reader.pin_memory)), targets


class _Batches(Dataset[Any]):
    """Reads a batch in a worker; returns errors, because a raised one would arrive with its traceback."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs

    def __getitem__(self, index: list[int]) -> Tensor | Exception:
        try:
            return self.inputs.read(index)
        except (DataError, MemoryError) as error:
            return error


def _settle(_: int) -> None:
    """Let the main process end this worker, and leave all printing to it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.excepthook = lambda *_: None


@contextmanager
def _quiet() -> Iterator[None]:
    """Start workers without torch's advice on their number, its SIGCHLD handler, or their reaction to Ctrl-C or SIGHUP.

    The handler would raise a worker's death from whatever line runs at the time; the next batch reports it as well.
    These reach every process of a terminal, but only the main one decides what it means: workers inherit it blocked.
    """
    is_main = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPS} - {signal.SIGTERM})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if is_main:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
