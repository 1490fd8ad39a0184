"""Parse override lines such as `+optim.lr=0.1`; nothing else splits them.

Only the standard library is imported here, so that `dltrain runs` does not wait for Hydra.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

PATHS = ("data.root", "data.path", "data.test_path")  # settings that name a file or a folder
SLOTS = ("data", "model", "loss", "optim", "scheduler")  # groups that build one component each
REPLICATES = ("seed", "split_seed", "fold")  # jobs that differ in these alone are the same configuration

VERBATIM = (*PATHS, "data.group", "data.time", "data.split")  # any text, without Hydra's syntax
AS_TYPED = (*VERBATIM, "data.target", "data.text", "data.label")  # never numbers


class Line(NamedTuple):
    """The parts of an override line."""

    prefix: str  # +, ++ or ~, as Hydra reads them
    key: str
    value: str | None  # None without a `=`


def parse_line(line: str) -> Line:
    """Split a line at its first `=`."""
    name, has_value, value = line.partition("=")
    key = name.lstrip("+~")
    return Line(name[: len(name) - len(key)], key, value if has_value else None)


def bare(line: str) -> str:
    """Strip the + or ++ of a line, but not a ~."""
    return line.lstrip("+")


def key_of(line: str) -> str:
    """Return the key: `optim.lr` of `+optim.lr=0.1`."""
    return parse_line(line).key


def value_of(line: str) -> str:
    """Return the value: `0.1` of `+optim.lr=0.1`, empty without a `=`."""
    return parse_line(line).value or ""


def key_values(lines: Iterable[str]) -> dict[str, str]:
    """Map the key of each line that has a value to that value."""
    return {key: value for _, key, value in map(parse_line, lines) if value is not None}


def axis_values(axes: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    """Map each key of a sweep to its values; an axis has one line per value."""
    return {key: [value_of(line) for line in axis] for axis in axes for key in key_values(axis)}


def without(lines: Iterable[str], *keys: str) -> list[str]:
    """Leave out the lines that set one of these keys."""
    return [line for line in lines if key_of(line) not in keys]


def merged(older: Iterable[str], newer: Sequence[str]) -> list[str]:
    """Let newer lines replace older ones that set the same keys."""
    return [*without(older, *map(key_of, newer)), *newer]


def literal(text: str) -> str:
    """Return a value that OmegaConf reads as this text, even where it has a `${`."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def literals(content: Any) -> Any:
    """Return plain data whose text OmegaConf reads as it is: what a run has recorded refers to nothing."""
    if isinstance(content, dict):
        return {key: literals(value) for key, value in content.items()}
    if isinstance(content, list):
        return [literals(value) for value in content]
    is_text = isinstance(content, str) and content != "???"  # which marks a value that is required
    return literal(content) if is_text else content


def quoted(text: str) -> str:
    """Quote any text as a value in Hydra's grammar, where a backslash is special only before a quote."""
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), literal(text))
    return f"'{escaped}'"


def unquoted(text: str) -> str:
    """Return a value without Hydra's quotes, if it has any."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    return text


def is_of_hydra(line: str) -> bool:
    """Whether a line configures Hydra rather than the run."""
    return key_of(line).startswith(("hydra.", "hydra/"))


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries into dotted keys; a list counts as a value."""
    if not isinstance(node, dict):
        return {path: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{path}.{key}" if path else str(key))
    return found
