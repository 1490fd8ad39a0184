"""Which nodes get a gradient from which nothing, or nothing good, is learned.

The measure is the Euclidean norm of a gradient beside that of the gradient by the model's output, where the way back
begins. A map that keeps lengths keeps it, whatever the shapes on both sides; a mean or a root mean square would fall
at every layer that is wider. Models that train well lie between 1/1000 and 300 times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from trainer.explain.node import Node

VANISHING, EXPLODING = 1e-4, 1e3  # times the norm at the model's output
MEANING = {  # the worst first
    "exploding": f"its gradient is longer than {EXPLODING:,.0f} times the one at the model's output, or not finite",
    "dead": "its gradient is 0 everywhere, or its value is although none of its inputs is",
    "vanishing": f"its gradient is shorter than 1/{1 / VANISHING:,.0f} of the one at the model's output",
}


def marked(nodes: Sequence[Node]) -> list[Node]:
    """The nodes with their marks; the loss has none, nor has what it does not depend on or nothing is learned from."""
    output = [node for node in nodes if node.calls and not node.is_leaf and node.calls[0].module == ""][-1]
    reference = output.gradient.norm if output.gradient else 0.0
    teaches: set[int] = set()  # parameters, and what is computed from some
    for node in nodes[:-1]:
        if node.is_parameter or teaches.intersection(node.inputs):
            teaches.add(node.number)
    return [replace(node, mark=_mark(node, nodes, reference)) if node.number in teaches else node for node in nodes]


def worst(nodes: Sequence[Node]) -> str:
    """The mark of several nodes together."""
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
    """Whether a function gives nothing but zeros by itself: a ReLU of negative numbers, for example."""
    inputs = [nodes[number].value for number in node.inputs]
    return bool(inputs and node.value and node.value.zeros == 1 and all(v and v.zeros < 1 for v in inputs))
