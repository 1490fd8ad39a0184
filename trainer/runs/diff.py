"""What a run has written down, and in what several differ. Nothing here imports torch, and a config is data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.config.keys import flat
from trainer.runs.index import Run

PLACE = ("git", "dltrain_git", "python", "packages", "processor", "device", "num_threads", "data")


def config(run: Run) -> dict[str, Any]:
    """Dotted key -> value; of a part, its name stands for what is called.

    Raises:
        CheckpointError: it cannot be read.
    """
    content = flat(run.config)
    content.pop("resume", None)
    named = {f"{slot}._target_": slot for slot in run.names}
    return {named.get(key, key): run.names[named[key]] if key in named else value for key, value in content.items()}


def place(run: Run) -> dict[str, Any]:
    """Dotted key -> value of all that the results may depend on beside the config: code, packages, machine, data."""
    return flat({key: run.environment[key] for key in PLACE if run.environment.get(key) is not None})


def differing(contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose value is not the same in all, in the order in which they come, those of a part together."""
    keys = list(dict.fromkeys(key for content in contents for key in content))
    parts = list(dict.fromkeys(key.split(".")[0] for key in keys))
    keys.sort(key=lambda key: parts.index(key.split(".")[0]))
    return [key for key in keys if any(_value(content, key) != _value(contents[0], key) for content in contents)]


def _value(content: Mapping[str, Any], key: str) -> str:
    """As text: 1 is another value than true, and nan the same as nan."""
    return repr(content[key]) if key in content else ""
