"""Of a large graph a small one, with one node for all that happens in a call of a module.

Nodes that follow one another can be taken together without a cycle: what is between two of them is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, groupby

from trainer.explain.marks import worst
from trainer.explain.node import Call, Node, pooled

Segment = list[Node]  # functions that follow one another


def folded(nodes: Sequence[Node], most: int) -> list[Node]:
    """The finest graph of at most `most` functions and parameters, in topological order.

    Modules are folded from the innermost outwards. If that is not enough, as with a loop over a cell, what a module
    calls itself goes with the module that was called before it, and at last neighbours are taken together.
    A folded node has value and gradient of the last function in it with a gradient, and the worst of all marks.
    """
    if len(nodes) <= most:
        return list(nodes)
    functions = [node for node in nodes if not node.is_leaf]
    deepest = max(len(node.calls) for node in functions) - 1
    for goes_along in (False, True):
        for depth in range(max(1, deepest), 0, -1):
            segments = [list(group) for _, group in groupby(functions, _call_of(depth, goes_along))]
            graph = _graph(nodes, segments, depth)
            if len(graph) <= most:
                return graph
    *segments, loss = segments
    while len(graph) > most and len(segments) > 1:
        segments = [[node for segment in segments[i : i + 2] for node in segment] for i in range(0, len(segments), 2)]
        graph = _graph(nodes, [*segments, loss], depth=1)
    return graph


def _call_of(depth: int, goes_along: bool) -> Callable[[Node], int]:
    """Gives a function the number of the call at that depth in which it happened, or a number of its own.

    What happened outside of such calls has, if it `goes_along`, the number of the function before it.
    """
    own = count(-1, -1)
    last = -1

    def number(node: Node) -> int:
        nonlocal last
        if len(node.calls) > depth:
            last = node.calls[depth].number
        elif not goes_along or last < 0 or node.calls[0].module:
            last = next(own)
        return last

    return number


def _graph(nodes: Sequence[Node], segments: Sequence[Segment], depth: int) -> list[Node]:
    """A node for each segment, and before it one for all parameters that it is the first to use."""
    made: list[Node] = []
    number_of: dict[int, int] = {}  # of a node -> of the one that stands for it
    for segment in segments:
        used = sorted({i for node in segment for i in node.inputs if nodes[i].is_leaf and i not in number_of})
        own = {node.number for node in segment}
        given = [nodes[i] for i in used if not nodes[i].is_parameter]
        for leaves in filter(None, [given, [nodes[i] for i in used if nodes[i].is_parameter]]):
            number_of |= {leaf.number: len(made) for leaf in leaves}
            made.append(_leaf(leaves, segment[0], depth, len(made)))
        sources = sorted({number_of[i] for node in segment for i in node.inputs if i not in own})
        number_of |= {number: len(made) for number in own}
        made.append(_function(segment, depth, len(made), tuple(sources)))
    return made


def _leaf(leaves: Sequence[Node], user: Node, depth: int, number: int) -> Node:
    if len(leaves) == 1:
        return replace(leaves[0], number=number)
    return replace(
        leaves[0],
        number=number,
        name=f"{user.calls[: depth + 1][-1].module} {len(leaves)} parameters".strip(),
        shape=(sum(leaf.value.numel for leaf in leaves if leaf.value),),
        value=pooled([leaf.value for leaf in leaves]),
        gradient=pooled([leaf.gradient for leaf in leaves]),
        mark=worst(leaves),
    )


def _function(segment: Segment, depth: int, number: int, inputs: tuple[int, ...]) -> Node:
    first = segment[0]
    if len(segment) == 1:
        return replace(first, number=number, inputs=inputs)
    last = next((node for node in reversed(segment) if node.gradient), segment[-1])
    calls = list(dict.fromkeys(node.calls[depth] for node in segment if len(node.calls) > depth))
    where = next((node.calls for node in segment if len(node.calls) > depth), first.calls)[: depth + 1]
    return replace(last, number=number, name=_name(calls, segment), calls=where, inputs=inputs, mark=worst(segment))


def _name(calls: Sequence[Call], segment: Segment) -> str:
    if not calls:
        return f"{segment[0].name} ... {segment[-1].name}"
    if len({call.module for call in calls}) > 1:
        return f"{calls[0].kind} ... {calls[-1].module} {calls[-1].kind}"
    return calls[0].kind + (f" x {len(calls)}" if len(calls) > 1 else "")
