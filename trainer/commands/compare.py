"""`dltrain compare`: runs beside each other, what differs between them and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainer import run
from trainer.commands._comparison import Side, drift, fewer, keys, lines, monitor, sides, telling
from trainer.commands._settings import Setting, help_of, settings
from trainer.commands._table import Column, say, show
from trainer.errors import ConfigError, FileSystemError
from trainer.runs import ROOT, begun, find, find_sweep, jobs, objective
from trainer.view.words import shown

KNOWN = {
    "sweep": Setting("all jobs of a sweep: its folder, or last", ""),
    "last": Setting("so many runs, the newest ones", ""),
    "output": Setting("the picture, a .png or a folder for it; else a new folder in outputs", ""),
    "json": Setting("the same for a program, without a picture; --json is short for it", "false", ("true", "false")),
}
EXAMPLES = (
    "dltrain compare last=2",
    "dltrain compare outputs/2026-11-21/20-42-20-mlp-digits last",
    "dltrain compare sweep=last",
)
WIDEST = 80  # characters of a label in the picture
COLUMNS = 4  # runs beside each other; more are below each other


def main(arguments: list[str]) -> None:
    """Print what differs between runs, and draw their curves.

    Raises:
        ConfigError: fewer than two runs, or a setting that cannot be.
        CheckpointError: no such run.
        FileSystemError: the picture cannot be written.
    """
    if {"--help", "-h"} & {*arguments}:
        print(help_of("compare", "runs beside each other; words are run folders, sweeps or last", KNOWN, EXAMPLES))
        return
    given = settings("compare", KNOWN, arguments, words="run folders")
    compared = sides(_chosen(given.words, given.values))
    if given.values["json"] == "true":
        say(json.dumps(_record(compared), indent=2, ensure_ascii=False))
        return
    if len(compared) <= COLUMNS:
        say(*(f"{side.label}  {shown(side.run.folder)}" for side in compared), "")
    show(_columns(compared), whole=len(compared) <= COLUMNS)
    if elsewhere := drift(compared):
        say("", "code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere))
    if not any(side.history for side in compared):
        return  # there is nothing to draw
    path = Path(given.values["output"] or _new_folder()).expanduser()
    say("", f"picture  {shown(_draw(compared, path if path.suffix == '.png' else path / 'compare.png'))}")


def draw_sweep(sweep: Path) -> None:
    """The picture of a sweep's jobs, in its folder, and a line that says so; of fewer than two that began, none."""
    compared = [side for side in sides(_begun_in(sweep)) if side.history]
    if len(compared) > 1:
        say(f"picture  {shown(_draw(compared, sweep / 'compare.png'))}")


def _begun_in(sweep: Path) -> list[Path]:
    return [job for job in jobs(sweep) if (job / "config.yaml").is_file()]


def _new_folder() -> Path:
    now = datetime.now()
    return run.create(ROOT / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-compare")


def _chosen(words: list[str], values: dict[str, str]) -> list[Path]:
    """The folders that are asked for, each once."""
    last = values["last"]
    if last and not (last.isdecimal() and int(last)):
        raise ConfigError(f"dltrain compare: last={last}: expected a number of runs, as in last=2")
    found: list[Path] = []
    for word in words:
        found += _begun_in(Path(word).expanduser()) or [find(word)]
    if values["sweep"]:
        found += _begun_in(find_sweep(values["sweep"]))
    if last:
        found += [folder for folder in begun() if (folder / "config.yaml").is_file()][-int(last) :]
    found = list({folder.resolve(): folder for folder in found}.values())
    if len(found) < 2:
        there = f"there is only {shown(found[0])}" if found else "there is nothing"
        raise ConfigError(f"dltrain compare: {there} to compare; name two runs, or say last=2 or sweep=last")
    return found


def _columns(compared: Sequence[Side]) -> list[Column]:
    """A column a run or, of many, a row a run; a narrow terminal goes without the lesser of its columns."""
    labels = [side.label for side in compared]
    if len(compared) > COLUMNS:
        found = fewer(compared)
        folders = Column("run", [shown(side.run.folder) for side in compared], keep=0)
        return [
            Column("", labels, keep=9),
            *(Column(line.title, line.cells, keep=line.keep) for line in found),
            folders,
        ]
    found = lines(compared)
    cells = zip(*(line.cells for line in found), strict=True)
    titles = Column("", [line.title for line in found])
    return [titles, *(Column(label, column) for label, column in zip(labels, cells, strict=True))]


def _draw(compared: Sequence[Side], path: Path) -> Path:
    """The curves of the runs, of too many of the best ones, each with the keys that make it what it is."""
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


def _record(compared: Sequence[Side]) -> dict[str, Any]:
    name = monitor(compared)
    return {
        "metric": name,
        "differs": {key: [side.config.get(key) for side in compared] for key in keys(compared)},
        "elsewhere": drift(compared),
        "runs": [
            {
                "label": side.label,
                "run": str(side.run.folder),
                "state": side.run.state,
                "validation": side.run.summary.get("best"),
                "test": side.run.summary.get("test"),
                "seconds": side.run.seconds,
                "curve": [_or_null(row.get(f"val/{name}")) for row in side.history],
            }
            for side in compared
        ],
    }


def _or_null(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
