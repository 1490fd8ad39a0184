"""What is believed of the JSON in a run's or sweep's folder: known fields of the expected kind. The rest is ignored."""

from collections.abc import Callable, Mapping
from typing import Any

from trainer.metrics.names import RECORDED

Kinds = Mapping[str, Callable[[Any], bool]]
LONGEST = 10_000  # characters of a text, and items of a list


def text(value: Any) -> bool:
    """Whether a value is text of sensible length."""
    return isinstance(value, str) and len(value) <= LONGEST


def texts(value: Any) -> bool:
    """Whether a value is a list of text."""
    return isinstance(value, list) and len(value) <= LONGEST and all(map(text, value))


def flag(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


def count(value: Any) -> bool:
    """Whether a value is a whole number that fits into a float."""
    return type(value) is int and 0 <= value < 2**53


def number(value: Any) -> bool:
    """Whether a value is a number, or the text that stands for one that JSON lacks."""
    return type(value) is float or (type(value) is int and abs(value) < 2**53) or value in ("nan", "inf", "-inf")


def numbers(value: Any) -> bool:
    """Whether a value is a list of numbers."""
    return isinstance(value, list) and len(value) <= LONGEST and all(map(number, value))


def table(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return whether a value maps text to values of one kind."""
    return lambda value: isinstance(value, dict) and all(map(text, value)) and all(map(kind, value.values()))


def believed(content: Mapping[str, Any], kinds: Kinds) -> dict[str, Any]:
    """Return the known fields of the expected kind."""
    return {name: content[name] for name, fits in kinds.items() if name in content and fits(content[name])}


def environment(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is believed of environment.json."""
    resumed: Any = content.get("resumed")
    entries = resumed if isinstance(resumed, list) else []
    later = [believed(entry, ENVIRONMENT) for entry in entries if isinstance(entry, dict)]
    return believed(content, ENVIRONMENT) | ({"resumed": later} if later else {})


def _commit(value: Any) -> bool:
    return isinstance(value, dict) and believed(value, {"commit": text, "dirty": flag}).keys() == value.keys()


MEANING: Kinds = dict.fromkeys(RECORDED, lambda value: value in RECORDED.values())
ENVIRONMENT: Kinds = {
    **dict.fromkeys(("time", "folder", "python", "platform", "processor", "device", "signature"), text),
    **dict.fromkeys(("num_cpus", "num_threads"), count),
    **MEANING,
    **dict.fromkeys(("packages", "names", "data"), table(text)),
    **dict.fromkeys(("git", "dltrain_git"), _commit),
    "command": texts,
}
SUMMARY: Kinds = {
    **dict.fromkeys(("status", "error", "run_dir", "monitor"), text),
    **dict.fromkeys(("best", "test", "baseline", "seconds", "compiled"), table(number)),
    **dict.fromkeys(("train_s", "samples_per_s"), number),
    **dict.fromkeys(("epochs", "steps", "skipped_steps", "best_epoch", "num_train", "num_parameters"), count),
    "names": table(text),
    "higher_is_better": flag,
    "baselines": table(table(number)),
    "test_interval": table(lambda value: numbers(value) and len(value) == 2),
}
DRAWS: Kinds = {"metric": text, "num": count, "examples": text, "draws": numbers}  # of a job's test metric
EVENT: Kinds = {  # of sweep.jsonl
    **dict.fromkeys(("event", "time", "hash", "error", "metric", "cwd", "signature"), text),
    **dict.fromkeys(("command", "overrides"), texts),
    **dict.fromkeys(("job", "jobs", "epoch", "configurations", "kept"), count),
    **dict.fromkeys(("seconds", "objective"), number),
    **MEANING,
    "samples": table(text),
    "values": table(texts),
    "higher_is_better": flag,
    "code": lambda value: type(value) is int and abs(value) < 2**31,
}
NEEDED = {  # by event, without which a line counts as damaged
    "sweep": (),
    "resumed": (),
    "preflight": ("seconds", "metric", "higher_is_better"),
    "rung": ("epoch", "configurations", "kept"),
    "started": ("job",),
    "interrupted": ("job",),
    "finished": ("job", "objective", "metric"),
    "paused": ("job", "objective", "metric", "epoch"),
    "pruned": ("job", "objective", "metric", "epoch"),
    "failed": ("job",),
}
