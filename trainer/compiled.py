"""A whole update as one graph, by torch.compile: forward, loss, backward, clipping and the optimizer's step.

A small model's step is little arithmetic and much calling. To compile the model alone would leave the calls of the
backward pass and of the optimizer, and add some.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler

from trainer.loop import Batch, Learn, Loss, full
from trainer.update import Update

TIMED = 20  # updates before the graph is made, and as many after it: what was gained is measured


class CompiledUpdate:
    """Stands in for the loop's `learn`, once that has made the first updates, for windows of as many examples.

    What cannot be compiled goes on as it is written, and `say` is told why.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        update: Update,
        autocast: AbstractContextManager,
        observe: Callable[[Tensor, Tensor, Tensor], Any],
        say: Callable[[str], None],
    ) -> None:
        self.update, self.observe, self.say = update, observe, say
        self.sizes: list[int] = []  # of the batches in a window that the graph is for
        self.seconds: list[float] = []  # of the updates that were timed: `TIMED`, the one that compiles, and `TIMED`
        self.wait: Callable[[], Any] = torch.cuda.synchronize if update.parameters[0].is_cuda else lambda: None
        update.keep_tensors()
        # A sweep may have compiled another model in this process: its graph must not be taken for this one's.
        torch._dynamo.reset()
        torch.compiler.set_stance("default")
        # Both let the graph do what the loop does: it has the backward pass in it, and dropout draws the same numbers.
        torch._dynamo.config.trace_autograd_ops = True
        torch._inductor.config.fallback_random = True
        self.graph: Callable[..., Any] | None = torch.compile(
            _step(model, loss, update, autocast),
            fullgraph=True,
            dynamic=False,
            mode="reduce-overhead" if update.parameters[0].is_cuda else None,  # CUDA graphs
        )

    def __call__(self, learn: Learn) -> Learn:
        """The same as `learn`, and faster."""

        def learned(window: list[Batch], size: int) -> Tensor:
            sizes = [len(targets) for _, targets in window]
            self.sizes = self.sizes or sizes
            if self.graph is None or sizes != self.sizes:
                return learn(window, size)
            if len(self.seconds) > 2 * TIMED:
                return self._run(window, size)
            start = time.perf_counter()
            try:
                value = (learn if len(self.seconds) < TIMED else self._run)(window, size)
            except (TorchDynamoException, RuntimeError) as error:
                if len(self.seconds) != TIMED:
                    raise
                self.graph = None
                self.say(f"warning: compile=true: the update goes on as it is written: {str(error).splitlines()[0]}")
                return learn(window, size)
            self.wait()
            self.seconds.append(time.perf_counter() - start)
            if len(self.seconds) == TIMED + 2 and not isinstance(self.update.scheduler, LRScheduler):
                # To look whether the graph still fits takes half of a small update. It does: windows are of one size,
                # the model trains, and of the optimizer only tensors change, unless a scheduler of torch sees to more.
                torch.compiler.set_stance("default", skip_guard_eval_unsafe=True)
            return value

        return learned

    def _run(self, window: list[Batch], size: int) -> Tensor:
        assert self.graph
        seen, mean, norm = self.graph(window, size)
        self.update.was_made(mean, norm)
        for (outputs, value), (_, targets) in zip(seen, window, strict=True):
            self.observe(outputs, targets, value)
        return mean

    def gain(self) -> list[str]:
        """A line on what was gained, and after how many updates that pays for compiling; none before it is known."""
        if len(self.seconds) <= 2 * TIMED:
            return []
        written, compiled = median(self.seconds[1:TIMED]), median(self.seconds[-TIMED:])
        spent, saved = self.seconds[TIMED], written - compiled
        even = f"; even after {spent / saved:,.0f} updates" if saved > 0 else ""
        return [f"compiled in {spent:.1f} s: {1e6 * compiled:,.0f} us an update, {1e6 * written:,.0f} before{even}"]


def _step(model: nn.Module, loss: Loss, update: Update, autocast: AbstractContextManager) -> Callable[..., Any]:
    """The loop's `gradient` and the update's `step`, in words that can be traced."""
    parameters = update.parameters
    change = inspect.unwrap(type(update.optimizer).step)

    def step(window: list[Batch], size: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor | None]:
        seen = []
        mean: Any = 0.0
        sums: Any = ()
        for inputs, targets in window:
            with autocast:
                outputs = model(inputs)
            outputs = full(outputs)
            value = loss(outputs, targets)
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
