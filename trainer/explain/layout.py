"""Place the nodes of a graph in a picture: in layers from top to bottom, each node below all that it depends on.

After Sugiyama, Tagawa and Toda (1981): the layer of a node is its longest path from the start, a value used further
down takes a narrow place in each layer between, and the places of a layer are in the order of those above.
Many layers are cut into columns side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from trainer.explain.node import Node

WIDTH, NARROW = 1.0, 0.25  # of a node with the gap to the next, and of a value that passes a layer
MOST_LAYERS = 13  # in a column
GAP = 0.35  # between two columns


class Place(NamedTuple):
    """A node, or where its value passes a layer further down."""

    node: int
    layer: int


class Spot(NamedTuple):
    """The middle of a place: `x` in widths of a node from the left, `row` from the top of a column."""

    x: float
    row: int
    column: int


class Layout(NamedTuple):
    """All places, and the lines between them."""

    spots: dict[Place, Spot]
    boxes: list[Place]  # places of nodes
    lines: list[tuple[Place, Place]]  # from one layer to the next
    width: float
    rows: int

    def crossing(self, column: int) -> list[tuple[Place, Place]]:
        """Return the lines from that column to the next."""
        columns = ((self.spots[start].column, self.spots[end].column) for start, end in self.lines)
        return [line for line, ends in zip(self.lines, columns, strict=True) if ends == (column, column + 1)]


def layout(nodes: Sequence[Node]) -> Layout:
    """Return a layout of all nodes except parameters."""
    shown = [node for node in nodes if not node.is_parameter]
    layer: dict[int, int] = {}
    last_use: dict[int, int] = {}
    for node in shown:
        above = [i for i in node.inputs if i in layer]
        layer[node.number] = 1 + max((layer[i] for i in above), default=-1)
        last_use |= {i: max(last_use.get(i, 0), layer[node.number] - 1) for i in above}
    boxes = [Place(number, row) for number, row in layer.items()]
    passing = [Place(n, row) for n, last in last_use.items() for row in range(layer[n] + 1, last + 1)]
    lines = [(Place(p.node, p.layer - 1), p) for p in passing]
    lines += [
        (Place(i, layer[node.number] - 1), Place(node.number, layer[node.number]))
        for node in shown
        for i in node.inputs
        if i in layer
    ]
    return _in_columns(_across(boxes, passing, lines), boxes, lines)


def _across(boxes: list[Place], passing: list[Place], lines: list[tuple[Place, Place]]) -> dict[Place, float]:
    """Return the x of each place: as close as possible to the mean of those above it."""
    x: dict[Place, float] = {}
    is_box = set(boxes)
    for row in range(max(box.layer for box in boxes) + 1):
        wanted = {}
        for place in [p for p in [*boxes, *passing] if p.layer == row]:
            above = [start for start, end in lines if end == place]
            if len(is_box.intersection(above)) == 1:  # a chain stays straight when others join it
                above = [start for start in above if start in is_box]
            wanted[place] = sum(x[start] for start in above) / max(1, len(above))
        order = sorted(wanted, key=lambda place: (wanted[place], place not in is_box, place.node))
        right = -math.inf  # right edge of the place before
        for place in order:
            half = (WIDTH if place in is_box else NARROW) / 2
            x[place] = max(wanted[place], right + half)
            right = x[place] + half
        moved = [x[place] - wanted[place] for place in order if place in is_box]
        shift = sum(moved) / len(moved)
        for place in order:
            x[place] -= shift
    return x


def _in_columns(x: dict[Place, float], boxes: list[Place], lines: list[tuple[Place, Place]]) -> Layout:
    num_layers = 1 + max(place.layer for place in x)
    rows = math.ceil(num_layers / math.ceil(num_layers / MOST_LAYERS))
    spots: dict[Place, Spot] = {}
    left = 0.0
    for column in range(math.ceil(num_layers / rows)):
        here = [place for place in x if place.layer // rows == column]
        first = min(x[place] for place in here) - WIDTH / 2
        spots |= {place: Spot(left + x[place] - first, place.layer % rows, column) for place in here}
        left += max(x[place] for place in here) + WIDTH / 2 - first + GAP
    return Layout(spots, boxes, lines, left - GAP, rows)
