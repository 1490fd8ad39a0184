"""Mark the nodes whose gradients are too small, too large or zero.

The measure is the Euclidean norm of a gradient relative to that at the model's output, where the backward pass starts.
A length-preserving map keeps it, whatever the shapes; a mean or root mean square would fall at every wider layer.
Models that train well stay between 1/1000 and 300.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from trainer.explain.node import Node

VANISHING, EXPLODING = 1e-4, 1e3  # times the norm at the model's output
MEANING = {  # worst first
    "exploding": f"its gradient is over {EXPLODING:,.0f} times as long as at the model's output, or not finite",
    "dead": "its gradient is all zeros, or its value is although no input is",
    "vanishing": f"its gradient is shorter than 1/{1 / VANISHING:,.0f} of the one at the model's output",
}


def marked(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with their marks; only parameters and what is computed from them, except the loss, get one."""
    output = [node for node in nodes if node.calls and not node.is_leaf and node.calls[0].module == ""][-1]
    reference = output.gradient.norm if output.gradient else 0.0
    learns: set[int] = set()  # parameters and what is computed from them
    for node in nodes[:-1]:
        if node.is_parameter or learns.intersection(node.inputs):
            learns.add(node.number)
    return [replace(node, mark=_mark(node, nodes, reference)) if node.number in learns else node for node in nodes]


def worst(nodes: Sequence[Node]) -> str:
    """Return the worst mark of several nodes."""
    return next((mark for mark in MEANING if any(node.mark == mark for node in nodes)), "")


def _mark(node: Node, nodes: Sequence[Node], reference: float) -> str:
    if node.gradient is None:
        return ""
    if not math.isfinite(node.gradient.rms) or node.gradient.norm > EXPLODING * reference > 0:
        return "exploding"
    if node.gradient.zeros == 1 or _is_off(node, nodes):
        return "dead"
    return "vanishing" if node.gradient.norm < VANISHING * reference else ""


def _is_off(node: Node, nodes: Sequence[Node]) -> bool:
    """Return whether a function turns nonzero inputs into zeros, as a ReLU does with negative numbers."""
    inputs = [nodes[number].value for number in node.inputs]
    return bool(inputs and node.value and node.value.zeros == 1 and all(v and v.zeros < 1 for v in inputs))
