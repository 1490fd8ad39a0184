"""Record the graph of a model's computation on one batch: what it calls, in order, with values and gradients.

The model itself runs, forward and backward. Each torch function that it calls is a node, and so is each parameter,
before its first use: a node comes after all that it is computed from.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainer.explain.node import Call, Node, Size, pooled


def record(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    autocast: AbstractContextManager,
) -> list[Node]:
    """Return the nodes of a forward and backward pass in training mode, in topological order with the loss last.

    `inputs` are `(B, *in_shape)`; `loss` returns shape `()`. The model keeps its parameters' gradients.
    """
    model.train().zero_grad()
    recording = _Recording(model)
    # The input needs a gradient but is not a leaf, because a model may change it in place.
    given = inputs.detach().requires_grad_().clone() if inputs.is_floating_point() else inputs
    recording.add("inputs", [given], (), is_leaf=True)
    with recording.hooks(model), recording, autocast:
        outputs = model(given)
    recording.enter("loss", type(loss).__name__, outputs)
    with recording:
        value = loss(outputs if outputs.dtype.itemsize >= 4 else outputs.float(), targets)
    recording.leave(value)
    value.backward()
    return recording.finished()


class _Recording(TorchFunctionMode):
    """Sees every call of a torch function while it is active."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.calls: list[Call] = []  # in progress
        self.num_calls = 0
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self.parameters: dict[Tensor, int] = {}  # -> number of its node
        self.tensors: dict[int, tuple[Tensor, int, int]] = {}  # id -> tensor, its version, number of its node
        self.functions: dict[Any, int] = {}  # autograd function, such as MulBackward0 -> number of its node
        self.gradients: dict[int, list[Size]] = {}  # number of a node -> gradients of its tensors

    def hooks(self, model: nn.Module) -> ExitStack:
        """Return a context in which the modules of the model report each of their calls."""
        hooks = ExitStack()
        for name, module in model.named_modules():
            enter = partial(self.enter, name, type(module).__name__)
            hooks.enter_context(module.register_forward_pre_hook(lambda module, inputs, enter=enter: enter(inputs)))
            hooks.enter_context(module.register_forward_hook(lambda module, inputs, outputs: self.leave(outputs)))
        return hooks

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function and add a node if a gradient can flow through it. Its own calls are not seen."""
        kwargs = kwargs or {}
        if function.__name__ == "__get__":  # an attribute, such as a shape or a transposed view; _find handles those
            return function(*args, **kwargs)
        inputs = self._found(_tensors((args, kwargs)))  # before the call, which may change them in place
        result = function(*args, **kwargs)
        made = [tensor for tensor in _tensors(result) if tensor.requires_grad and not self._knows(tensor)]
        if made and inputs:
            self.add(_shown(function), made, inputs)
        return result

    def enter(self, name: str, kind: str, inputs: Any) -> None:
        """Start a call of a module; its inputs were made before."""
        self.look(inputs)
        self.calls.append(Call(name, kind, self.num_calls))
        self.num_calls += 1

    def leave(self, outputs: Any) -> None:
        """End the innermost call; its outputs were made in it."""
        self.look(outputs)
        self.calls.pop()

    def look(self, tensors: Any) -> None:
        """Add nodes for tensors that only autograd has seen."""
        with torch._C.DisableTorchFunction():  # these calls are not the model's
            self._found(_tensors(tensors))

    def add(self, name: str, tensors: Sequence[Tensor], inputs: tuple[int, ...], *, is_leaf: bool = False) -> int:
        """Add a node whose value is these tensors, register for their gradients, and return its number."""
        number = len(self.nodes)
        value = pooled([size_of(tensor) for tensor in tensors if tensor.is_floating_point()])
        self.nodes.append(Node(number, name, tuple(self.calls), inputs, tuple(tensors[0].shape), is_leaf, value))
        for tensor in tensors:
            self.tensors[id(tensor)] = tensor, tensor._version, number
            if tensor.grad_fn is not None:
                self.functions[tensor.grad_fn] = number
                tensor.register_hook(lambda gradient: self._note(number, gradient))
        return number

    def finished(self) -> list[Node]:
        """Return all nodes with their gradients, after the backward pass."""
        for parameter, number in self.parameters.items():
            self._note(number, parameter.grad)
        return [replace(node, gradient=pooled(self.gradients.get(node.number, []))) for node in self.nodes]

    def _note(self, number: int, gradient: Tensor | None) -> None:
        if gradient is not None:
            self.gradients.setdefault(number, []).append(size_of(gradient))

    def _knows(self, tensor: Tensor) -> bool:
        """Return whether a tensor belongs to a node and has not changed since."""
        return id(tensor) in self.tensors and self.tensors[id(tensor)][1] == tensor._version

    def _found(self, tensors: Iterable[Tensor]) -> tuple[int, ...]:
        numbers = [self._find(tensor) for tensor in tensors]
        return tuple(dict.fromkeys(number for number in numbers if number is not None))

    def _find(self, tensor: Tensor) -> int | None:
        """Return the number of a tensor's node, if any; what only autograd has seen becomes a node."""
        if self._knows(tensor):
            return self.tensors[id(tensor)][2]
        if tensor in self.names:
            if tensor not in self.parameters:
                self.parameters[tensor] = self.add(self.names[tensor], [tensor], (), is_leaf=True)
            return self.parameters[tensor]
        if tensor.grad_fn is None:
            return None
        if tensor.grad_fn not in self.functions:
            name = type(tensor.grad_fn).__name__.removesuffix("0").removesuffix("Backward")
            return self.add(name, [tensor], self._behind(tensor.grad_fn))
        return self.functions[tensor.grad_fn]

    def _behind(self, function: Any) -> tuple[int, ...]:
        """Return the nodes that feed an autograd function, directly or through functions without a node."""
        found: list[int] = []
        for before, _ in function.next_functions:
            if before in self.functions:
                found.append(self.functions[before])
            elif hasattr(before, "variable"):
                found += self._found([before.variable])
            elif before is not None:
                found += self._behind(before)
        return tuple(dict.fromkeys(found))


def size_of(tensor: Tensor) -> Size:
    """Return the size of a tensor, in double precision: in single, the square of a small gradient is 0."""
    numbers = tensor.detach().to_dense().cpu().double()
    count = max(1, numbers.numel())
    return Size(
        numbers.numel(),
        float(numbers.sum()) / count,
        math.sqrt(float(numbers.square().sum()) / count),
        float((numbers == 0).sum()) / count,
    )


def _tensors(structure: Any) -> list[Tensor]:
    """Return all tensors in nested lists, tuples and dictionaries."""
    if isinstance(structure, Tensor):
        return [structure]
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (tuple, list)):
        return []
    return [tensor for part in structure for tensor in _tensors(part)]


def _shown(function: Callable) -> str:
    """Return the familiar name of a torch function: `add` for `+`, `+=` and `add_` too."""
    name = function.__name__
    if not name.startswith("__"):
        return name.strip("_")
    name = name.strip("_")
    return name[1:] if name[0] in "ir" and hasattr(operator, name[1:]) else name
