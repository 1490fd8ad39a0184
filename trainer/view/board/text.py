"""Markdown for TensorBoard's text page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.view.layers import Layer


def code(source: str) -> str:
    """As it stands."""
    return "\n".join(f"    {line}" for line in source.splitlines())


def layers(rows: Sequence[Layer]) -> str:
    """The model table, a row a layer."""
    body = [(row.name, row.kind, str(row.shape), f"{row.num_parameters:,}") for row in rows]
    return _table(("layer", "kind", "output", "parameters"), body)


def environment(found: Mapping[str, Any]) -> str:
    """A row for each value, those in mappings with dotted keys."""
    return _table(("what", "value"), list(_flat(found)))


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", shlex.join(value) if key == "command" else str(value)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows)
