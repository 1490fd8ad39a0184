"""Read what runs recorded, and find where they differ. Nothing here imports torch; a config is plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.config.keys import flat
from trainer.runs.index import Run

PLACE = ("git", "dltrain_git", "python", "packages", "processor", "device", "num_threads", "data")


def config(run: Run) -> dict[str, Any]:
    """Return dotted key -> value, with a component's name in place of its `_target_`.

    Raises:
        CheckpointError: the config cannot be read.
    """
    content = flat(run.config)
    content.pop("resume", None)
    named = {f"{slot}._target_": slot for slot in run.names}
    return {named.get(key, key): run.names[named[key]] if key in named else value for key, value in content.items()}


def place(run: Run) -> dict[str, Any]:
    """Return dotted key -> value of what else may affect results: code, packages, machine, data."""
    return flat({key: run.environment[key] for key in PLACE if run.environment.get(key) is not None})


def differing(contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ, in the order of the contents, with those of a component together."""
    keys = list(dict.fromkeys(key for content in contents for key in content))
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    keys.sort(key=lambda key: parts.index(key.split(".")[0]))
    return [key for key in keys if any(_value(content, key) != _value(contents[0], key) for content in contents)]


def _value(content: Mapping[str, Any], key: str) -> str:
    """Return the value as text, in which 1 differs from true, but nan equals nan."""
    return repr(content[key]) if key in content else ""
