"""Print a graph as a table: one row per node, in topological order."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from trainer.explain.marks import MEANING
from trainer.explain.node import Node, Size

COLOUR = {"exploding": "bold red", "dead": "bold magenta", "vanishing": "bold yellow"}


def graph_table(nodes: Sequence[Node]) -> Table:
    """Return a table of names, inputs, shapes, and mean and rms of values and gradients; it fits in 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("\n#", justify="right")
    table.add_column("\nnode", overflow="fold", min_width=10)
    table.add_column("\nfrom", overflow="fold", max_width=14)
    table.add_column("\nshape", overflow="fold")
    for title in ("value\nmean", "\nrms", "gradient\nmean", "\nrms"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("\nmark", no_wrap=True)
    for node in nodes:
        name = f"  {node.name}" if node.is_parameter else node.title  # indented before its user
        sources = " ".join(map(str, node.inputs))
        numbers = (*_numbers(node.value), *_numbers(node.gradient))
        mark = Text(node.mark, COLOUR.get(node.mark, ""))
        table.add_row(str(node.number), name, sources, shape(node), *numbers, mark)
    return table


def legend(nodes: Sequence[Node]) -> list[str]:
    """Return lines that explain the columns and each mark, with the number of nodes that have it."""
    lines = ["rms        root mean square, over batch and features; gradients are of the loss"]
    for mark, meaning in MEANING.items():
        count = sum(node.mark == mark for node in nodes)
        lines.append(f"{mark:<10} {meaning}: {count or 'no'} node{'s' if count > 1 else ''}")
    return lines


def shape(node: Node) -> str:
    """Return the shape with the batch, such as 32x64x8x8."""
    return "x".join(map(str, node.shape)) or "scalar"


def brief(value: float) -> str:
    """Format a number with at most three digits, in about seven characters."""
    if value == 0 or 1e-2 <= abs(value) < 1000:
        return f"{value:.3g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}" if exponent else digits


def _numbers(size: Size | None) -> tuple[str, str]:
    return (brief(size.mean), brief(size.rms)) if size else ("", "")
