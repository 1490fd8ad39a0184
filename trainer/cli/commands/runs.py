"""`dltrain runs`: list all runs, importing neither torch nor Hydra and reading two small files per run."""

import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from trainer.cli.settings import Setting, Settings, Usage, count
from trainer.config.keys import SLOTS, key_values, unquoted
from trainer.errors import CheckpointError, FileSystemError
from trainer.runs.index import ROOT, Run, every, find_sweep, jobs, sweeps
from trainer.runs.run import STATES
from trainer.view.table import Column, say, show
from trainer.view.words import duration, number, shown

ORDERS: dict[str, Callable[[Run], Any]] = {
    "when": lambda run: run.started,
    "what": lambda run: [str(run.names.get(slot)) for slot in ("model", *SLOTS)],
    "metric": lambda run: (str(run.summary.get("monitor")), *_or_first(run.objective)),
    "time": lambda run: _or_first(run.seconds),
    "state": lambda run: STATES.index(run.state),
}
USAGE = Usage(
    settings={
        **{slot: Setting(f"only runs with this {slot}; * matches anything", "") for slot in SLOTS},
        "state": Setting(f"only runs in this state: {', '.join(STATES)}", "", ("", *STATES)),
        "sort": Setting("when, metric, time, what or state; newest, best or longest last", "when", tuple(ORDERS)),
        "last": count("print only this many rows, the last ones", "a number of rows, 1 or more"),
        "sweep": Setting("the jobs of a sweep: its folder, or last", ""),
        "root": Setting("the folder of all runs", str(ROOT)),
        "json": Setting("true, or --json: print JSON", "false", ("true", "false")),
    },
    examples=(
        "dltrain runs",
        "dltrain runs model=resnet state=finished sort=metric last=5",
        "dltrain runs sweep=last --json",
    ),
)


def main(given: Settings) -> None:
    """Print the runs that match the settings.

    Raises:
        CheckpointError: no such sweep.
        FileSystemError: no such root.
    """
    values = given.values
    root, last = Path(values["root"]).expanduser(), int(float(values["last"] or 0))
    if root != ROOT and not root.is_dir():
        raise FileSystemError(f"root={root}: no such folder ({root.absolute()})")
    if root.is_dir():
        os.listdir(root)  # raises where a glob finds nothing
    found = jobs(find_sweep(values["sweep"], root)) if values["sweep"] else every(root)
    chosen = sorted((run for run in found if _is_asked_for(run, values)), key=ORDERS[values["sort"]])[-last:]
    if values["json"] == "true":
        say(json.dumps([_record(run) for run in chosen], indent=2, ensure_ascii=False))
        return
    if chosen:
        show(_columns(chosen, bool(values["sweep"])))
    else:
        say(_none_of(found, root))
    if not values["sweep"] and (known := sweeps(root)):
        newest = f"the newest: dltrain runs sweep={shown([*known][-1])}"
        say(f"and {sum(known.values()):,} jobs of {len(known):,} sweep{'s' * (len(known) > 1)}; {newest}")


def _is_asked_for(run: Run, values: dict[str, str]) -> bool:
    names = {slot: str(run.names.get(slot, "")) for slot in SLOTS if values[slot]}
    return values["state"] in ("", run.state) and all(fnmatchcase(name, values[slot]) for slot, name in names.items())


def _none_of(found: list[Run], root: Path) -> str:
    if not found:
        return f"no runs in {root.absolute()} yet; start one with dltrain"
    models, data = (", ".join(sorted({str(run.names.get(slot, "?")) for run in found})) for slot in ("model", "data"))
    return f"none of the {len(found):,} runs matches; models: {models}; data: {data}"


def _given(run: Run) -> dict[str, str]:
    """Return the settings of the run's command line."""
    return key_values(map(str, run.latest.get("command", [])[1:]))


def _data(run: Run, given: dict[str, str]) -> str:
    """Return the name of the run's data or, if it is the user's own, of its file or folder."""
    path = unquoted(given.get("data.path", ""))
    return Path(path).name or str(run.names.get("data", ""))


def _columns(runs: list[Run], of_sweep: bool) -> list[Column]:
    """Return the table; on a narrow terminal the path stays longest, as it says when and what too."""
    names, given = [str(run.summary.get("monitor", "")) for run in runs], [_given(run) for run in runs]
    swept = {key: [values.get(key, "") for values in given] for values in given for key in values} if of_sweep else {}
    best = [_cell(run.metric("best"), number) for run in runs]
    width = max(map(len, names))
    return [
        Column("when", [f"{run.started:%Y-%m-%d %H:%M}" for run in runs], keep=1),
        Column("model", [str(run.names.get("model", "")) for run in runs], keep=2),
        Column("data", [_data(run, values) for run, values in zip(runs, given, strict=True)], keep=2),
        *(
            Column(key, cells, keep=3)
            for key, cells in swept.items()
            if len({*cells}) > 1 and key not in ("model", "data")
        ),
        Column("validation", [f"{n:{width}} {v}" if v else "" for n, v in zip(names, best, strict=True)], True, keep=6),
        Column("test", [_cell(run.metric("test"), number) for run in runs], right=True, keep=4),
        Column("time", [_cell(run.seconds, duration) for run in runs], right=True, keep=3),
        Column(
            "state", ["epoch {}/{}".format(*epoch) if (epoch := _epoch(run)) else run.state for run in runs], keep=5
        ),
        Column("run", [shown(run.folder) for run in runs], keep=7),
    ]


def _cell(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)


def _or_first(value: float | None) -> tuple[bool, float]:
    """Return a sort key that puts missing values first."""
    return (False, 0.0) if value is None or math.isnan(value) else (True, value)


def _epoch(run: Run) -> tuple[int, int] | None:
    """Return the epochs done by a run in progress, and their total."""
    with suppress(CheckpointError, KeyError, ValueError, TypeError):
        if run.state == "running":
            return int(run.history[-1]["epoch"]) if run.history else 0, int(run.config["epochs"])
    return None


def _record(run: Run) -> dict[str, Any]:
    epoch = _epoch(run)
    return {
        "run": str(run.folder),
        "started": run.started.isoformat(timespec="seconds"),
        "state": run.state,
        **{slot: run.names.get(slot) for slot in SLOTS},
        "metric": run.summary.get("monitor"),
        "higher_is_better": run.summary.get("higher_is_better"),
        "validation": run.summary.get("best"),
        "test": run.summary.get("test"),
        "seconds": run.seconds,
        "epoch": epoch[0] if epoch else run.summary.get("epochs"),
        "error": run.summary.get("error"),
    }
