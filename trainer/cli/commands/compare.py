"""`dltrain compare`: show runs side by side, with what differs between them and their results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.cli.settings import Setting, Settings, Usage, count
from trainer.errors import ConfigError
from trainer.files import finite
from trainer.runs.index import Run, every, find, find_sweep, is_sweep, jobs, new_folder, started
from trainer.runs.leaderboard import leaderboard
from trainer.view.comparison import Side, columns, drift, fewer, keys, monitor, sides
from trainer.view.overlay import draw
from trainer.view.style import FORMATS
from trainer.view.sweep.files import record
from trainer.view.sweep.table import report
from trainer.view.sweep.table import show as show_board
from trainer.view.table import Column, say, show
from trainer.view.words import shown

USAGE = Usage(
    settings={
        "sweep": Setting("the leaderboard of a sweep: its folder, or last", ""),
        "last": count("number of runs, the newest ones", "a number of runs, as in last=2"),
        "output": Setting("a .png, .pdf or .svg, or a folder; by default a new one in outputs, or the sweep's own", ""),
        "dpi": count("dots per inch of the picture", "a number of dots, as in dpi=300"),
        "json": Setting("true, or --json: print JSON, draw nothing", "false", ("true", "false")),
    },
    examples=(
        "dltrain compare last=2",
        "dltrain compare outputs/2026-11-21/20-42-20-mlp-digits last",
        "dltrain compare sweep=last",
    ),
    words="run folders, sweeps or last",
)
COLUMNS = 4  # runs as columns; more become rows


def main(given: Settings) -> None:
    """Print what differs between runs, and draw their curves.

    Raises:
        ConfigError: fewer than two runs, or an invalid setting.
        CheckpointError: no such run.
        FileSystemError: the picture cannot be written.
    """
    values, as_json = given.values, given.values["json"] == "true"
    folders = [Path(word).expanduser() for word in given.words]
    if values["sweep"]:
        folders.append(find_sweep(values["sweep"]))
    if len(folders) == 1 and is_sweep(folders[0]) and not values["last"]:
        _compare_sweep(folders[0], values["output"], int(float(values["dpi"] or 0)), as_json)
        return
    compared = sides(_chosen(folders, values["last"]))
    if as_json:
        _say_json(_record(compared))
        return
    if len(compared) <= COLUMNS:
        say(*(f"{side.label}  {shown(side.run.folder)}" for side in compared), "")
    show(_columns(compared), whole=len(compared) <= COLUMNS)
    if elsewhere := drift(compared):
        say("", "code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere))
    if not any(side.run.history for side in compared):
        return
    path = Path(values["output"] or new_folder("compare")).expanduser()
    picture = draw(compared, path if path.suffix in FORMATS else path / "compare.png", int(float(values["dpi"] or 0)))
    say("", f"picture  {shown(picture)}")


def _compare_sweep(sweep: Path, output: str, dpi: int, as_json: bool) -> None:
    """Print a sweep's leaderboard and differences between its jobs' environments; `output` is a picture or a folder."""
    from trainer.view.sweep import picture

    board, elsewhere = leaderboard(sweep), drift(sides(started(jobs(sweep))))
    if as_json:
        _say_json(record(board) | {"elsewhere": elsewhere})
        return
    path = Path(output).expanduser() if output else sweep
    is_picture = path.suffix in FORMATS
    if is_picture:
        show_board(board)
        say("")
    else:
        report(sweep, path)
    if elsewhere:
        say("code, packages, machine or data differ too:", *(f"  {line}" for line in elsewhere), "")
    if is_picture:
        picture.draw_board(board, path, dpi)
    else:
        picture.draw_sweep(sweep, path)


def _chosen(folders: Sequence[Path], last: str) -> list[Run]:
    found = [run for folder in folders for run in started(jobs(folder)) or [Run(find(str(folder)))]]
    if last:
        found += started(every())[-int(float(last)) :]
    found = list({run.folder.resolve(): run for run in found}.values())
    if len(found) < 2:
        got = f"only {shown(found[0].folder)}" if found else "no runs"
        raise ConfigError(f"dltrain compare: {got} to compare; name two runs, or give last=2 or sweep=last")
    return found


def _columns(compared: Sequence[Side]) -> list[Column]:
    """Return one column per run or, for more than COLUMNS runs, one row each; `keep` ranks columns by importance."""
    labels = [side.label for side in compared]
    if len(compared) > COLUMNS:
        folders = Column("run", [shown(side.run.folder) for side in compared], keep=0)
        return [Column("", labels, keep=9), *fewer(compared), folders]
    found = columns(compared)
    cells = zip(*(column.cells for column in found), strict=True)
    titles = Column("", [column.title for column in found])
    return [titles, *(Column(label, row) for label, row in zip(labels, cells, strict=True))]


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
                "curve": [row.get(f"val/{name}") for row in side.run.history],
            }
            for side in compared
        ],
    }
