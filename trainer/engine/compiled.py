"""Turn a whole update into one graph: forward, loss, backward, clipping and the optimizer's step.

A small model spends most of an update on calls, not arithmetic. Compiling only the model would keep the calls of the
backward pass and the optimizer, and add some. On a GPU the calls are recorded as a CUDA graph, which takes a moment and
changes no number; torch.compile is tried there only if that fails.
"""

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
from trainer.engine.loop import Batch, Loss, Shortcut, forward
from trainer.engine.update import Update

Step = Callable[[list[Batch], int], Any]  # the batches of an update and their number of examples -> results
TIMED = 20  # updates timed before there is a graph, and as many after it, to measure the gain


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
        self.graph: Step | None = None
        self.ways: list[Callable[[Step], Step]] = [Recorded] if self.is_cuda else []  # to make the graph, in order
        if hasattr(torch._dynamo.config, "trace_autograd_ops"):
            self.ways.append(partial(_compiled, mode="reduce-overhead" if self.is_cuda else None))
        if not self.ways:
            say(f"warning: compile=true needs a newer torch than {torch.__version__}; training without it")
            return
        update.keep_tensors()
        self.step = _step(model, loss, update, autocast)

    def __call__(self, window: list[Batch], size: int) -> Tensor | None:
        """Make an update and return its loss, or None to leave it to the loop."""
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
        """Make a timed update; the first one makes the graph."""
        start = time.perf_counter()
        value = self._run(window, size) if self.seconds else self._make(window, size)
        if value is None:
            return None
        if self.is_cuda:
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - start)
        if len(self.seconds) == 2 and not isinstance(self.update.scheduler, LRScheduler):
            # Checking the graph's guards takes half of a small update. They hold: windows have one size, the model is
            # in training mode, and only tensors of the optimizer change, unless a torch scheduler changes more.
            torch.compiler.set_stance("default", skip_guard_eval_unsafe=True)
        return value

    def _make(self, window: list[Batch], size: int) -> Tensor | None:
        """Make the graph and an update with it, or say why there is none."""
        before = {name: tensor.clone() for name, tensor in self.update.model.state_dict().items()}
        while self.ways:
            self.graph = self.ways.pop(0)(self.step)
            try:
                return self._run(window, size)
            except (TorchDynamoException, RuntimeError, AssertionError) as error:
                self.graph, reason = None, (str(error) or repr(error)).splitlines()[0]
                self.update.model.load_state_dict(before)  # batch norm may have run already
        self.say(f"warning: compile=true failed; training without it: {reason}")
        return None

    def _run(self, window: list[Batch], size: int) -> Tensor:
        assert self.graph
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


class Recorded:
    """A step as a CUDA graph: the first call records it, and every call replays it in a single launch.

    A replay overwrites the results of the one before. It draws the random numbers that the step itself would draw.

    Raises:
        RuntimeError: at the first call, if the step waits for the GPU.
    """

    def __init__(self, step: Step) -> None:
        self.step, self.graph = step, torch.cuda.CUDAGraph()
        self.window: list[Batch] = []  # the graph reads its inputs here
        self.results: Any = None

    def __call__(self, window: list[Batch], size: int) -> Any:
        """Return the step's results for a window of the same shapes as the first."""
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
            # The outer context leaves the stream even if the inner one fails. "thread_local" lets other threads, such
            # as one that pins memory, continue meanwhile.
            with torch.cuda.stream(stream), torch.cuda.graph(self.graph, None, stream, "thread_local"):
                self.results = self.step(window, size)
        except BaseException:
            generator.graphsafe_set_state(before)  # its own state still takes part in the recording
            raise
        self.window = window


def _compiled(step: Step, mode: str | None) -> Step:
    # A sweep may have compiled another model in this process; its graph must not be reused.
    torch._dynamo.reset()
    torch.compiler.set_stance("default")
    # The graph must match the loop: the first puts the backward pass into it, the second keeps dropout's numbers.
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
