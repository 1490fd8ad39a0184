"""Dotted keys and `key=value` lines."""

from __future__ import annotations

from typing import Any


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """Dotted key -> value; a list is a value."""
    if not isinstance(node, dict):
        return {path: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{path}.{key}" if path else str(key))
    return found
