"""Fold a large graph into a small one, with one node for everything that happens in a call of a module.

Merging consecutive nodes makes no cycle: in topological order, any path between two of them stays among them.
"""

from collections.abc import Sequence
from dataclasses import replace

from trainer.explain.marks import worst
from trainer.explain.node import Call, Node, pooled

Segment = list[Node]  # consecutive functions


def folded(nodes: Sequence[Node], most: int) -> list[Node]:
    """Return the finest graph of at most `most` functions and parameters, in topological order.

    Modules are folded from the innermost outwards. If that is not enough, as with a loop over a cell, a module's own
    functions join the module called before them, and finally neighbours are merged. A folded node has the value and
    gradient of its last function with a gradient, and the worst of all marks.
    """
    if len(nodes) <= most:
        return list(nodes)
    functions = [node for node in nodes if not node.is_leaf]
    deepest = max(len(node.calls) for node in functions) - 1
    for joins in (False, True):
        for depth in range(max(1, deepest), 0, -1):
            segments = _segments(functions, depth, joins)
            graph = _graph(nodes, segments, depth)
            if len(graph) <= most:
                return graph
    *segments, loss = segments
    while len(graph) > most and len(segments) > 1:
        segments = [[node for segment in segments[i : i + 2] for node in segment] for i in range(0, len(segments), 2)]
        graph = _graph(nodes, [*segments, loss], depth=1)
    return graph


def _segments(functions: Sequence[Node], depth: int, joins: bool) -> list[Segment]:
    """Group the functions by the call at `depth` in which they happened.

    A function outside such calls stands alone or, if it `joins`, goes with the call before it.
    """
    segments: list[Segment] = []
    last = None
    for node in functions:
        call = node.calls[depth].number if len(node.calls) > depth else None
        if call is None and joins and not node.calls[0].module:  # the loss joins nothing
            call = last
        if call is None or call != last:
            segments.append([])
        segments[-1].append(node)
        last = call
    return segments


def _graph(nodes: Sequence[Node], segments: Sequence[Segment], depth: int) -> list[Node]:
    """Return a node for each segment, preceded by one for all parameters that it is the first to use."""
    made: list[Node] = []
    number_of: dict[int, int] = {}  # number of a node -> number of its folded node
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
