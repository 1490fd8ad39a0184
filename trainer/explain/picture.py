"""Draw a graph: one box per node, coloured by the size of its gradient."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from trainer.explain.layout import GAP, Layout, Place, layout
from trainer.explain.node import Node, pooled
from trainer.explain.table import brief, shape
from trainer.view import style

BOX_IN, ROW_IN = 2.0, 1.0  # width of a box with its gap and height of a row, in inches
HALF_WIDTH, HALF_HEIGHT = 0.44, 0.33  # of a box, in these units
COLOURS = colormaps["cividis"]  # safe for colour-blind readers
LINE = "0.35"
LONGEST = 27  # characters of a title


def graph_picture(nodes: Sequence[Node], title: str, path: Path) -> None:
    """Draw the graph from top to bottom; parameters appear in the box of the first node that uses them."""
    plan = layout(nodes)
    margin = max(0.1, 1 - plan.width / 2)  # a single column leaves room for the title
    width, height = (plan.width + 2 * margin) * BOX_IN + 1.2, plan.rows * ROW_IN + 1.1
    figure = Figure(figsize=(width, height), dpi=style.DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(-margin, plan.width + margin), ylim=(plan.rows - 0.35, -0.65))
    axes.set_axis_off()
    figure.suptitle(title)
    norm = _norm(nodes)
    num_lanes = Counter[int]()  # lines to the next column take parallel ways, passing values outside
    for start, end in sorted(plan.lines, key=lambda line: line[1] in plan.boxes):
        column = plan.spots[start].column
        _line(axes, plan, start, end, lane=0.06 * num_lanes[column])
        num_lanes[column] += plan.spots[end].column > column
    for place in plan.boxes:
        _box(axes, plan, nodes, place, norm)
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, fraction=0.03, aspect=30, shrink=0.8)
    bar.set_label("root mean square of the gradient of the loss")
    bar.ax.yaxis.set_major_formatter("{x:g}")
    style.save(figure, path)


def _norm(nodes: Sequence[Node]) -> LogNorm:
    """Return the colour scale of all boxes but the loss, whose gradient is 1; it spans at least two decades."""
    boxes = [node for node in nodes[:-1] if not node.is_leaf]
    sizes = [node.gradient.rms for node in boxes if node.gradient and 0 < node.gradient.rms < math.inf] or [1.0]
    wider = max(1.0, (100 * min(sizes) / max(sizes)) ** 0.5)
    return LogNorm(min(sizes) / wider, max(sizes) * wider, clip=True)


def _box(axes: Axes, plan: Layout, nodes: Sequence[Node], place: Place, norm: LogNorm) -> None:
    node, (x, row, _) = nodes[place.node], plan.spots[place]
    title = node.title if len(node.title) <= LONGEST else f"...{node.title[3 - LONGEST :]}"
    lines = [title, shape(node)]
    fill: Any = "white"
    ink = "black"
    if node.gradient:
        lines.append(f"gradient {brief(node.gradient.rms)}")
        if node.gradient.rms > 0 and node is not nodes[-1]:  # the loss's is always 1
            fill = COLOURS(norm(node.gradient.rms))
            ink = "white" if norm(node.gradient.rms) < 0.5 else "black"
    used_above = {i for above in nodes[: node.number] for i in above.inputs}
    parameters = [nodes[i] for i in node.inputs if nodes[i].is_parameter and i not in used_above]
    if gradient := pooled([parameter.gradient for parameter in parameters]):
        lines.append(f"parameters' {brief(gradient.rms)}")
    mark = node.mark or next((parameter.mark for parameter in parameters if parameter.mark), "")
    axes.add_patch(
        FancyBboxPatch(
            (x - HALF_WIDTH, row - HALF_HEIGHT),
            2 * HALF_WIDTH,
            2 * HALF_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=fill,
            edgecolor=style.VERMILION if mark else LINE,
            linewidth=3 if mark else 0.8,
            zorder=2,
        )
    )
    axes.text(x, row, "\n".join(lines), color=ink, size=8, ha="center", va="center", linespacing=1.2, zorder=3)
    if mark:
        label = {"facecolor": style.VERMILION, "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        right, top = x + HALF_WIDTH - 0.03, row - HALF_HEIGHT
        axes.text(right, top, mark, color="black", size=7, ha="right", va="center", bbox=label, zorder=4)


def _line(axes: Axes, plan: Layout, start: Place, end: Place, lane: float) -> None:
    """Draw a line to a place in the next layer, perhaps at the top of the next column; an arrow if it is a box."""
    (x0, row0, column0), (x1, row1, column1) = plan.spots[start], plan.spots[end]
    lower, into_box = row0 + HALF_HEIGHT, end in plan.boxes
    points = [(x0, lower), (x1, row1 - HALF_HEIGHT)]
    if column1 > column0:
        right = max(spot.x for spot in plan.spots.values() if spot.column == column0) + (1 + GAP) / 2 - lane
        points[1:1] = [(x0, lower + 0.17 - lane), (right, lower + 0.17 - lane), (right, -0.5 + lane), (x1, -0.5 + lane)]
    if not into_box:
        points.append((x1, row1 + HALF_HEIGHT))
    axes.plot(*zip(*points, strict=True), color=LINE, linewidth=1, zorder=1, solid_joinstyle="round")
    if into_box:
        arrow = {"arrowstyle": "-|>", "color": LINE, "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
        axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=1)
