"""A whole update as one graph: forward, loss, backward, clipping and the optimizer's step.

A small model's step is little arithmetic and much calling. To compile the model alone would leave the calls of the
backward pass and of the optimizer, and add some. On a GPU the calls are recorded as a CUDA graph, which takes a moment
and changes no number; torch.compile has its turn there only where that fails.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler

from trainer.engine.clock import Clock
from trainer.engine.loop import Batch, Loss, full
from trainer.engine.update import Update

Step = Callable[[list[Batch], int], Any]  # the batches of an update, their number of examples -> what it gives
TIMED = 20  # updates before the graph is made, and as many with it: what was gained is measured


class CompiledUpdate:
    """A shortcut of the loop, once that has made the first updates, for windows of as many examples as the first.

    What cannot be compiled goes on as it is written, and `say` is told why.
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
        self.sizes: list[int] = []  # of the batches in a window that the graph is for
        self.marks: list[float] = []  # the clock's seconds at the start of each update that is made as it is written
        self.seconds: list[float] = []  # of the first updates with the graph
        self.is_cuda = update.parameters[0].is_cuda
        self.graph: Step | None = None
        # Ways to make the graph, in the order in which they are tried.
        self.ways: list[Callable[[Step], Step]] = [Recorded] if self.is_cuda else []
        if hasattr(torch._dynamo.config, "trace_autograd_ops"):
            self.ways.append(partial(_compiled, mode="reduce-overhead" if self.is_cuda else None))
        if not self.ways:
            say(f"warning: compile=true needs a newer torch than {torch.__version__}: updates are made as written")
            return
        update.keep_tensors()
        self.step = _step(model, loss, update, autocast)

    def __call__(self, window: list[Batch], size: int) -> Tensor | None:
        """The loss of an update, or nothing if that is to be made as it is written."""
        sizes = [len(targets) for _, targets in window]
        self.sizes = self.sizes or sizes
        if sizes != self.sizes or not (self.graph or self.ways):
            return None
        if len(self.seconds) > TIMED:
            return self._run(window, size)
        if len(self.marks) <= TIMED:
            self.marks.append(self.clock.learning_s)
        return self._first(window, size) if len(self.marks) > TIMED else None

    def _first(self, window: list[Batch], size: int) -> Tensor | None:
        """An update whose time is taken: the first makes the graph."""
        start = time.perf_counter()
        value = self._run(window, size) if self.seconds else self._make(window, size)
        if value is None:
            return None
        if self.is_cuda:
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - start)
        if len(self.seconds) == 2 and not isinstance(self.update.scheduler, LRScheduler):
            # To look whether the graph still fits takes half of a small update. It does: windows are of one size, the
            # model trains, and of the optimizer only tensors change, unless a scheduler of torch sees to more.
            torch.compiler.set_stance("default", skip_guard_eval_unsafe=True)
        return value

    def _make(self, window: list[Batch], size: int) -> Tensor | None:
        """Make the graph and an update by it, or say why there is none."""
        before = {name: tensor.clone() for name, tensor in self.update.model.state_dict().items()}
        while self.ways:
            self.graph = self.ways.pop(0)(self.step)
            try:
                return self._run(window, size)
            except (TorchDynamoException, RuntimeError, AssertionError) as error:
                self.graph, reason = None, (str(error) or repr(error)).splitlines()[0]
                self.update.model.load_state_dict(before)  # it may have come as far as batch norm
        self.say(f"warning: compile=true: updates are made as written: {reason}")
        return None

    def _run(self, window: list[Batch], size: int) -> Tensor:
        assert self.graph
        seen, mean, norm = self.graph(window, size)
        if self.is_cuda:  # the next replay writes over what this one gave
            seen, mean = [(outputs.clone(), value.clone()) for outputs, value in seen], mean.clone()
            norm = norm if norm is None else norm.clone()
        self.update.was_made(mean, norm)
        for (outputs, value), (_, targets) in zip(seen, window, strict=True):
            self.observe(outputs, targets, value)
        return mean

    def gain(self) -> dict[str, float]:
        """Seconds to compile, of an update since and before; nothing as long as that is not known."""
        if len(self.seconds) <= TIMED:
            return {}
        before = median(end - start for start, end in pairwise(self.marks))
        return {"compile_s": self.seconds[0], "update_s": median(self.seconds[1:]), "before_s": before}


class Recorded:
    """A step as a CUDA graph: the first call records it, and all launch at once what it has recorded.

    A replay writes over the results of the one before. Random numbers are those that the step itself would draw.

    Raises:
        RuntimeError: at the first call, a step that waits for the GPU.
    """

    def __init__(self, step: Step) -> None:
        self.step, self.graph = step, torch.cuda.CUDAGraph()
        self.window: list[Batch] = []  # the graph reads these
        self.results: Any = None

    def __call__(self, window: list[Batch], size: int) -> Any:
        """What the step gives, for a window like the first."""
        if not self.window:
            self._record([(inputs.clone(), targets.clone()) for inputs, targets in window], size)
        for kept, given in zip(self.window, window, strict=True):
            torch._foreach_copy_(kept, given)
        self.graph.replay()
        return self.results

    def _record(self, window: list[Batch], size: int) -> None:
        generator = torch.cuda.default_generators[window[0][1].get_device()]
        before, stream = generator.clone_state(), torch.cuda.Stream()
        try:
            # The outer context leaves the stream also where the inner one fails. Other threads, such as one that pins
            # memory, go on meanwhile.
            with torch.cuda.stream(stream), torch.cuda.graph(self.graph, None, stream, "thread_local"):
                self.results = self.step(window, size)
        except BaseException:
            generator.graphsafe_set_state(before)  # the other one still takes part in the recording
            raise
        self.window = window


def _compiled(step: Step, mode: str | None) -> Step:
    # A sweep may have compiled another model in this process: its graph must not be taken for this one's.
    torch._dynamo.reset()
    torch.compiler.set_stance("default")
    # Both let the graph do what the loop does: it has the backward pass in it, and dropout draws the same numbers.
    torch._dynamo.config.trace_autograd_ops = True
    torch._inductor.config.fallback_random = True
    made = torch.compile(step, fullgraph=True, dynamic=False, mode=mode)
    if mode is None:
        return made

    def replay(window: list[Batch], size: int) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return made(window, size)

    return replay


def _step(model: nn.Module, loss: Loss, update: Update, autocast: AbstractContextManager) -> Step:
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
