"""Place the nodes of a graph in a picture: in layers from top to bottom, each node below all that it depends on.

After Sugiyama, Tagawa and Toda (1981): the layer of a node is its longest path from the start, a value used further
down takes a narrow place in each layer between, and the places of a layer are in the order of those above.
Many layers are cut into columns side by side.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
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


def layout(nodes: Sequence[Node]) -> Layout:
    """Return a layout of all nodes except parameters."""
    boxes: dict[int, Place] = {}
    lines: dict[tuple[Place, Place], None] = {}  # a set that keeps its order: two users share a passing value
    for node in nodes:
        if node.is_parameter:
            continue
        above = [boxes[i] for i in node.inputs if i in boxes]
        box = boxes[node.number] = Place(node.number, 1 + max((start.layer for start in above), default=-1))
        for start in above:
            passing = [Place(start.node, layer) for layer in range(start.layer, box.layer)]
            lines |= dict.fromkeys(pairwise([*passing, box]))
    all_boxes, all_lines = list(boxes.values()), list(lines)
    return _in_columns(_across(all_boxes, all_lines), all_boxes, all_lines)


def _across(boxes: Sequence[Place], lines: Sequence[tuple[Place, Place]]) -> dict[Place, float]:
    """Return the x of each place: as close as possible to the mean of those above it."""
    x: dict[Place, float] = {}
    places = {*boxes, *(end for _, end in lines)}
    for layer in range(max(box.layer for box in boxes) + 1):
        wanted = {}
        for place in (place for place in places if place.layer == layer):
            above = [start for start, end in lines if end == place]
            nodes_above = [start for start in above if start in boxes]
            if len(nodes_above) == 1:  # a chain stays straight when others join it
                above = nodes_above
            wanted[place] = sum(x[start] for start in above) / max(1, len(above))
        order = sorted(wanted, key=lambda place: (wanted[place], place not in boxes, place.node))
        right = -math.inf  # right edge of the place before
        for place in order:
            half = (WIDTH if place in boxes else NARROW) / 2
            x[place] = max(wanted[place], right + half)
            right = x[place] + half
        moved = [x[place] - wanted[place] for place in order if place in boxes]
        shift = sum(moved) / len(moved)
        for place in order:
            x[place] -= shift
    return x


def _in_columns(x: dict[Place, float], boxes: list[Place], lines: list[tuple[Place, Place]]) -> Layout:
    num_layers = 1 + max(place.layer for place in x)
    num_columns = math.ceil(num_layers / MOST_LAYERS)
    rows = math.ceil(num_layers / num_columns)
    spots: dict[Place, Spot] = {}
    left = 0.0
    for column in range(num_columns):
        here = [place for place in x if place.layer // rows == column]
        first = min(x[place] for place in here) - WIDTH / 2
        spots |= {place: Spot(left + x[place] - first, place.layer % rows, column) for place in here}
        left += max(x[place] for place in here) + WIDTH / 2 - first + GAP
    return Layout(spots, boxes, lines, left - GAP, rows)
