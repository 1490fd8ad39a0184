"""The curves of several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.errors import FileSystemError
from trainer.runs.index import objective
from trainer.view.comparison import Side, keys, monitor, telling

WIDEST = 80  # characters of a label


def draw(compared: Sequence[Side], path: Path) -> Path:
    """The curves of the runs, of too many of the best ones, each with the keys that make it what it is.

    Raises:
        FileSystemError: the picture cannot be written.
    """
    from trainer.view.overlay import LINES, overlay

    best = sorted(compared, key=lambda side: _worst_last(objective(side.run.summary)))[:LINES]
    drawn = [side for side in compared if side in best]
    curves = {_label(side, telling(compared)): side.history for side in drawn}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        overlay(path, curves, _metric(drawn), _title(compared, len(drawn)))
    except OSError as error:
        raise FileSystemError(f"{path.absolute()}: {error.strerror or error}") from error
    return path


def _metric(drawn: Sequence[Side]) -> str:
    """What is drawn beside the loss: the monitored metric or, where that is the loss, the first one measured."""
    measured = [key.removeprefix("val/") for side in drawn for row in side.history[:1] for key in row if "val/" in key]
    return next((name for name in [monitor(drawn), *measured] if name != "loss"), "loss")


def _title(compared: Sequence[Side], num_drawn: int) -> str:
    some = "" if num_drawn == len(compared) else f"the best {num_drawn} of "
    same = [slot for slot in ("model", "data") if slot in compared[0].config and slot not in keys(compared)]
    return f"{some}{len(compared)} runs: {', '.join(str(compared[0].config[slot]) for slot in same)}".rstrip(": ")


def _label(side: Side, telling_keys: Sequence[str]) -> str:
    label = "  ".join([side.label, *(f"{key}={side.config[key]}" for key in telling_keys if key in side.config)])
    return label if len(label) <= WIDEST else f"{label[: WIDEST - 3]}..."


def _worst_last(value: float) -> tuple[bool, float]:
    return value != value, -value
