"""`dltrain compare`: runs beside each other, what differs between them and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.cli.settings import Setting, Settings, Usage
from trainer.errors import ConfigError
from trainer.files import finite
from trainer.runs.index import Run, every, find, find_sweep, is_sweep, jobs, new_folder, started
from trainer.runs.leaderboard import leaderboard
from trainer.view.comparison import Side, drift, fewer, keys, lines, monitor, sides
from trainer.view.overlay import draw
from trainer.view.sweep.files import record
from trainer.view.sweep.table import report
from trainer.view.sweep.table import show as show_board
from trainer.view.table import Column, say, show
from trainer.view.words import shown

USAGE = Usage(
    settings={
        "sweep": Setting("the leaderboard of a sweep: its folder, or last", ""),
        "last": Setting("so many runs, the newest ones", ""),
        "output": Setting("the picture, a .png or a folder for it; else a new folder in outputs, or the sweep's", ""),
        "json": Setting(
            "the same for a program, without a picture; --json is short for it", "false", ("true", "false")
        ),
    },
    examples=(
        "dltrain compare last=2",
        "dltrain compare outputs/2026-11-21/20-42-20-mlp-digits last",
        "dltrain compare sweep=last",
    ),
    words="run folders, sweeps or last",
)
COLUMNS = 4  # runs beside each other; more are below each other


def main(given: Settings) -> None:
    """Print what differs between runs, and draw their curves.

    Raises:
        ConfigError: fewer than two runs, or a setting that cannot be.
        CheckpointError: no such run.
        FileSystemError: the picture cannot be written.
    """
    if sweep := _only_sweep(given.words, given.values):
        _compare_sweep(sweep, given.values["output"], given.values["json"] == "true")
        return
    compared = sides(_chosen(given.words, given.values))
    if given.values["json"] == "true":
        _say_json(_record(compared))
        return
    if len(compared) <= COLUMNS:
        say(*(f"{side.label}  {shown(side.run.folder)}" for side in compared), "")
    show(_columns(compared), whole=len(compared) <= COLUMNS)
    if elsewhere := drift(compared):
        say("", "code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere))
    if not any(side.history for side in compared):
        return  # there is nothing to draw
    path = Path(given.values["output"] or new_folder("compare")).expanduser()
    say("", f"picture  {shown(draw(compared, path if path.suffix == '.png' else path / 'compare.png'))}")


def _only_sweep(words: list[str], values: dict[str, str]) -> Path | None:
    """The sweep that is asked for, where that is all."""
    names = [*words, *([values["sweep"]] if values["sweep"] else [])]
    if len(names) != 1 or values["last"]:
        return None
    folder = find_sweep(names[0]) if values["sweep"] else Path(names[0]).expanduser()
    return folder if is_sweep(folder) else None


def _compare_sweep(sweep: Path, output: str, as_json: bool) -> None:
    """What a sweep says at its end, and in what the place of its jobs differs; `output` is a .png or a folder.

    Raises:
        FileSystemError: what cannot be written.
    """
    from trainer.view.sweep import picture

    elsewhere = drift(sides(started(jobs(sweep))))
    if as_json:
        _say_json(record(leaderboard(sweep)) | {"elsewhere": elsewhere})
        return
    path = Path(output).expanduser() if output else sweep
    is_picture = path.suffix == ".png"
    if is_picture:
        show_board(leaderboard(sweep))
        say("")
    else:
        report(sweep, path)
    if elsewhere:
        say("code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere), "")
    if is_picture:
        picture.draw_board(sweep, path)
    else:
        picture.draw_sweep(sweep, path)


def _chosen(words: list[str], values: dict[str, str]) -> list[Run]:
    """The runs that are asked for, each once."""
    last = values["last"]
    if last and not (last.isdecimal() and int(last)):
        raise ConfigError(f"dltrain compare: last={last}: expected a number of runs, as in last=2")
    found: list[Run] = []
    for word in words:
        found += started(jobs(Path(word).expanduser())) or [Run(find(word))]
    if values["sweep"]:
        found += started(jobs(find_sweep(values["sweep"])))
    if last:
        found += started(every())[-int(last) :]
    found = list({run.folder.resolve(): run for run in found}.values())
    if len(found) < 2:
        there = f"there is only {shown(found[0].folder)}" if found else "there is nothing"
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


def _say_json(content: dict[str, Any]) -> None:
    say(json.dumps(finite(content, null=True), indent=2, ensure_ascii=False))


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
                "curve": [row.get(f"val/{name}") for row in side.history],
            }
            for side in compared
        ],
    }
