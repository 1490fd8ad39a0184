"""A two-layer network whose forward and backward passes run through our own graph in NumPy, to be stepped through.

    python -m trainer.models.scratch        # one forward and one backward pass, node by node

The forward pass visits the nodes in topological order, inputs first; the backward pass visits them in reverse and
only applies the chain rule (Linnainmaa 1970; Rumelhart, Hinton and Williams 1986).

`B` is the size of a batch, `F` the number of inputs, `H` of hidden units, `K` of outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Array = np.ndarray[Any, np.dtype[Any]]


class Node:
    """A value and the gradient of the graph's last node with respect to it; their shape is known before they are."""

    value: Array
    gradient: Array
    shape: tuple[int, ...]
    _value: Callable[..., Array]  # values of the inputs -> this node's value
    _gradients: Callable[..., tuple[Array, ...]]  # values of the inputs -> their gradients, given this node's

    def __init__(self, *inputs: Node, shape: tuple[int, ...] | None = None) -> None:
        self.inputs, self.shape = inputs, inputs[0].shape if shape is None else shape

    def forward(self) -> None:
        """Compute the value."""
        self.value = self._value(*(node.value for node in self.inputs))

    def backward(self) -> None:
        """Add this node's share to the gradient of each input, by the chain rule."""
        shares = self._gradients(*(node.value for node in self.inputs))
        for node, share in zip(self.inputs, shares, strict=True):
            node.gradient += share


class Leaf(Node):
    """A value that is given: examples, weights, a bias."""

    def __init__(self, value: Array) -> None:
        super().__init__(shape=value.shape)
        self._value, self._gradients = lambda: value, tuple


class Linear(Node):
    """`(B, F)`, weights `(H, F)`, bias `(H,)` -> `(B, H)`: x W' + b. Every example adds to a weight's gradient."""

    def __init__(self, x: Node, weight: Node, bias: Node) -> None:
        super().__init__(x, weight, bias, shape=(x.shape[0], weight.shape[0]))

    def _value(self, x: Array, weight: Array, bias: Array) -> Array:
        return x @ weight.T + bias

    def _gradients(self, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
        return self.gradient @ weight, self.gradient.T @ x, self.gradient.sum(0)


class Sigmoid(Node):
    """`s = 1 / (1 + exp(-x))` elementwise. Its slope `s (1 - s)` is at most 1/4: gradients vanish through many."""

    def _value(self, x: Array) -> Array:
        return 0.5 * (1 + np.tanh(0.5 * x))  # equal, and never overflows

    def _gradients(self, x: Array) -> tuple[Array, ...]:
        return (self.gradient * self.value * (1 - self.value),)


class ReLU(Node):
    """`max(x, 0)` elementwise. Its slope is 1 for a positive x, else 0."""

    def _value(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def _gradients(self, x: Array) -> tuple[Array, ...]:
        return (self.gradient * (x > 0),)


class SquaredError(Node):
    """Outputs and targets `(B, K)` -> mean of their squared differences, shape `()`."""

    def __init__(self, outputs: Node, targets: Node) -> None:
        super().__init__(outputs, targets, shape=())

    def _value(self, outputs: Array, targets: Array) -> Array:
        return np.square(outputs - targets).mean()

    def _gradients(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        slope = self.gradient * 2 * (outputs - targets) / outputs.size
        return slope, -slope


def in_order(end: Node) -> list[Node]:
    """Return all nodes that `end` depends on, each once and after its inputs, and `end` last."""
    before = [node for given in end.inputs for node in in_order(given)]
    return [*dict.fromkeys(before), end]


def run_forward(order: list[Node]) -> Array:
    """Compute all values and return the last node's."""
    for node in order:
        node.forward()
    return order[-1].value


def run_backward(order: list[Node], gradient: Array) -> None:
    """Compute the gradients of all nodes from the last node's."""
    for node in order:
        node.gradient = np.zeros_like(node.value)
    order[-1].gradient = gradient
    for node in reversed(order):
        node.backward()


class Run(torch.autograd.Function):
    """Our graph as one operation of torch; tensors on a GPU are copied to the CPU, and the result back."""

    @staticmethod
    def forward(ctx: Any, build: Callable[..., Node], *tensors: Tensor) -> Tensor:
        """Return the value of the graph that `build` makes from one leaf per tensor."""
        ctx.leaves = [Leaf(tensor.detach().cpu().numpy()) for tensor in tensors]
        ctx.order = in_order(build(*ctx.leaves))
        return torch.as_tensor(run_forward(ctx.order), device=tensors[0].device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return a gradient for each tensor, and none for `build`."""
        run_backward(ctx.order, gradient.cpu().numpy())
        return None, *(torch.as_tensor(leaf.gradient, device=gradient.device) for leaf in ctx.leaves)


class Layer(nn.Linear):
    """Weights and bias as torch draws them. A call with nodes extends their graph."""

    def forward(self, x: Node, weight: Node, bias: Node) -> Node:  # type: ignore[override]
        """Return a `Linear` node."""
        return Linear(x, weight, bias)


class Scratch(nn.Module):
    """`(B, *in_shape)` -> `(B, out_features)`: starts and learns like an MLP with one hidden layer and equal seed."""

    reads = ("features", "image")

    def __init__(self, in_shape: tuple[int, ...], out_features: int, hidden: int, activation: str = "sigmoid") -> None:
        kinds: dict[str, type[Node]] = {"sigmoid": Sigmoid, "relu": ReLU}
        if activation not in kinds:
            raise ValueError(f"activation={activation}: expected one of {', '.join(kinds)}")
        super().__init__()
        self.hidden, self.output = Layer(math.prod(in_shape), hidden), Layer(hidden, out_features)
        self.activation: Callable[[Node], Node] = kinds[activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return values or, for classes, logits."""
        return Run.apply(self.graph, inputs.flatten(1), *self.parameters())

    def graph(self, x: Node, w1: Node, b1: Node, w2: Node, b2: Node) -> Node:
        """Return the node of the outputs."""
        return self.output(self.activation(self.hidden(x, w1, b1)), w2, b2)


class SquaredErrorLoss(nn.MSELoss):
    """Mean squared error of outputs and targets `(B, K)`, by our own node."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the error, shape `()`."""
        return Run.apply(SquaredError, outputs, targets)


def lesson() -> None:
    """Print how two examples pass through two hidden units to their error, and the gradients that come back."""
    given = {"x": [[1, 2], [0, 1]], "w1": [[1, -1], [2, 0]], "b1": [0, 1], "w2": [[1, -2]], "b2": [1], "y": [[1], [0]]}
    leaves = {name: Leaf(np.array(numbers, float)) for name, numbers in given.items()}
    x, w1, b1, w2, b2, y = leaves.values()
    order = in_order(SquaredError(Linear(Sigmoid(Linear(x, w1, b1)), w2, b2), y))
    run_forward(order)
    run_backward(order, np.ones(()))
    names = {id(leaf): name for name, leaf in leaves.items()}
    print(f"    {'node':<13} {'inputs':<9} {'value':<38} gradient")
    for number, node in enumerate(order, 1):
        inputs = " ".join(str(order.index(before) + 1) for before in node.inputs)
        value, gradient = (" ".join(str(array.round(4)).split()) for array in (node.value, node.gradient))
        print(f"{number:>2}  {names.get(id(node), type(node).__name__):<13} {inputs:<9} {value:<38} {gradient}")


if __name__ == "__main__":
    lesson()
