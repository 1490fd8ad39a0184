"""Compile a whole update into one graph: forward, loss, backward, clipping and the optimizer's step.

A small model spends most of an update on calls, not arithmetic. Compiling only the model would keep the calls of the
backward pass and the optimizer, and add some.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler

from trainer.engine.clock import Clock
from trainer.engine.loop import Batch, Loss, Shortcut, forward
from trainer.engine.update import Update

TIMED = 20  # updates timed before compiling, and as many after it, to measure the gain


class CompiledUpdate(Shortcut):
    """A shortcut that compiles after the first updates, for windows of the same batch sizes as the first.

    If compiling fails, training continues without it and `say` gets the reason.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        update: Update,
        autocast: AbstractContextManager,
        observe: Callable[[Tensor, Tensor, Tensor], Any],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self.update, self.observe, self.clock, self.say = update, observe, clock, say
        self.sizes: list[int] = []  # batch sizes of the windows that the graph accepts
        self.marks: list[float] = []  # the clock's seconds at the start of each timed update without the graph
        self.seconds: list[float] = []  # durations of the first updates with the graph
        self.is_cuda = update.parameters[0].is_cuda
        self.graph: Callable[..., Any] | None = None
        if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
            say(f"warning: compile=true needs a newer torch than {torch.__version__}; training without it")
            return
        update.keep_tensors()
        # A sweep may have compiled another model in this process; its graph must not be reused.
        torch._dynamo.reset()
        torch.compiler.set_stance("default")
        # The graph must match the loop: the first puts the backward pass into it, the second keeps dropout's numbers.
        torch._dynamo.config.trace_autograd_ops = True
        torch._inductor.config.fallback_random = True
        self.graph = torch.compile(
            _step(model, loss, update, autocast),
            fullgraph=True,
            dynamic=False,
            mode="reduce-overhead" if self.is_cuda else None,  # CUDA graphs
        )

    def __call__(self, window: list[Batch], size: int) -> Tensor | None:
        """Make an update and return its loss, or None to leave it to the loop."""
        sizes = [len(targets) for _, targets in window]
        self.sizes = self.sizes or sizes
        if self.graph is None or sizes != self.sizes:
            return None
        if len(self.seconds) > TIMED:
            return self._run(window, size)
        if len(self.marks) <= TIMED:
            self.marks.append(self.clock.learning_s)
        return self._first(window, size) if len(self.marks) > TIMED else None

    def _first(self, window: list[Batch], size: int) -> Tensor | None:
        """Make a timed update; the first one compiles."""
        start = time.perf_counter()
        try:
            value = self._run(window, size)
        except (TorchDynamoException, RuntimeError) as error:
            if self.seconds:
                raise
            self.graph = None
            self.say(f"warning: compile=true failed; training without it: {str(error).splitlines()[0]}")
            return None
        if self.is_cuda:
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - start)
        if len(self.seconds) == 2 and not isinstance(self.update.scheduler, LRScheduler):
            # Checking the graph's guards takes half of a small update. They hold: windows have one size, the model is
            # in training mode, and only tensors of the optimizer change, unless a torch scheduler changes more.
            torch.compiler.set_stance("default", skip_guard_eval_unsafe=True)
        return value

    def _run(self, window: list[Batch], size: int) -> Tensor:
        assert self.graph
        if self.is_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        seen, mean, norm = self.graph(window, size)
        if self.is_cuda:  # the next replay overwrites these outputs
            seen, mean = [(outputs.clone(), value.clone()) for outputs, value in seen], mean.clone()
            norm = norm if norm is None else norm.clone()
        self.update.was_made(mean, norm)
        for (outputs, value), (_, targets) in zip(seen, window, strict=True):
            self.observe(outputs, targets, value)
        return mean

    def gain(self) -> dict[str, float]:
        """Return the seconds to compile, and of an update after and before; empty until measured."""
        if len(self.seconds) <= TIMED:
            return {}
        before = median(end - start for start, end in pairwise(self.marks))
        return {"compile_s": self.seconds[0], "update_s": median(self.seconds[1:]), "before_s": before}


def _step(model: nn.Module, loss: Loss, update: Update, autocast: AbstractContextManager) -> Callable[..., Any]:
    """Return the loop's `gradient` and the update's `step` as one function that can be traced."""
    parameters = update.parameters
    change = inspect.unwrap(type(update.optimizer).step)

    def step(window: list[Batch], size: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor | None]:
        seen = []
        mean: Any = 0.0
        sums: Any = ()
        for inputs, targets in window:
            outputs, value = forward(model, loss, inputs, targets, autocast)
            part = value * (len(targets) / size)
            mean = mean + part.detach()
            found = torch.autograd.grad(part, parameters)
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
            seen.append((outputs.detach(), value.detach()))
        with torch.no_grad():
            for parameter, gradient in zip(parameters, sums, strict=True):
                parameter.grad.copy_(gradient)  # type: ignore[union-attr]
            norm = clip_grad_norm_(parameters, update.clip) if update.clip < math.inf else None
            change(update.optimizer)
        return seen, mean, norm

    return step
