"""`dltrain reproduce`: a run once more, in a new folder, and whether it gives the same."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from trainer.cli.settings import Setting, Settings, Usage
from trainer.config.keys import parse_line, without
from trainer.errors import CheckpointError, ConfigError, DltrainError
from trainer.runs.diff import config, differing, place
from trainer.runs.index import ROOT, Run, find, look, new_folder
from trainer.runs.resume import command_of
from trainer.view.table import Column, say, show
from trainer.view.words import number, shown

USAGE = Usage(
    settings={
        "run": Setting("a run folder, last, or best of the newest sweep"),
        "tolerance": Setting("relative difference of a metric that still passes", "0"),
    },
    examples=("dltrain reproduce run=last", "dltrain reproduce run=best tolerance=1e-4"),
)
SPLITS = ("best", "test")


def main(given: Settings) -> None:
    """Run again what was run, and compare.

    Raises:
        ConfigError: a setting that cannot be.
        CheckpointError: no such run, or one that has not finished.
        DltrainError: the second run fails, or a metric is another one.
    """
    tolerance = _tolerance(given.values["tolerance"])
    before = _finished(find(given.values["run"]))
    after = _again(before)
    say("", *_drift(before, after))
    failed = _judge(before, after, tolerance)
    if failed:
        raise DltrainError(
            f"{shown(before.folder)} is not reproduced: {', '.join(failed)} of {shown(after.folder)} differ by more "
            f"than tolerance={tolerance:g}; {_why(before)}"
        )


def _tolerance(text: str) -> float:
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < float("inf"):
        raise ConfigError(f"dltrain reproduce: tolerance={text}: expected a relative difference, 0 or more, as in 1e-4")
    return tolerance


def _finished(folder: Path) -> Run:
    found = look(folder)
    if found is None or found.state != "finished":
        state = found.state if found else "damaged"
        cure = "wait for its end" if state == "running" else f"dltrain resume={shown(folder)} would finish it"
        raise CheckpointError(f"{shown(folder)} has not finished ({state}): there is nothing to compare with; {cure}")
    return found


def _again(before: Run) -> Run:
    """Run it in a process of its own, in the folder that it was begun in where that is still there.

    Raises:
        DltrainError: it does not finish.
    """
    origin = Path(str(before.environment.get("folder", ".")))
    origin = origin if origin.is_dir() else Path.cwd()
    command = _command(before.folder)
    folder = new_folder("again", origin / ROOT)
    arguments = [*command, f"hydra.run.dir={folder.relative_to(origin)}"]
    say(f"in {origin}: dltrain {shlex.join(arguments)}", "")
    sys.stdout.flush()
    process = subprocess.Popen([sys.executable, "-m", "trainer.cli", *arguments], cwd=origin)
    try:
        code = process.wait()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # that has reached both
            process.terminate()
        process.wait()
        raise
    after = look(folder)
    if code or after is None:
        raise DltrainError(f"the run that was begun again ended with exit code {code}; its log is in {shown(folder)}")
    return after


def _command(folder: Path) -> list[str]:
    """The flags of the command that started a run, and its overrides.

    Raises:
        CheckpointError: the folder does not say.
    """
    overrides = without(Run(folder).overrides, "resume", "hydra.run.dir")
    flags = [word for word in command_of(folder) if word.startswith("-") or parse_line(word).value is None]
    return [*(flag for flag in flags if flag not in ("-m", "--multirun")), *overrides]


def _drift(before: Run, after: Run) -> list[str]:
    """What has changed since that the results may depend on, a line each."""
    was, now = config(before) | place(before), config(after) | place(after)
    lines = [f"  {key}: {was.get(key, 'not noted')} -> {now.get(key, 'not noted')}" for key in differing([was, now])]
    uncommitted = [key for key, value in place(after).items() if key.endswith("git.dirty") and value]
    lines += [f"  {key.split('.')[0]}: there are changes that are not committed" for key in uncommitted]
    if before.environment.get("resumed"):
        lines.append("  it was gone on with: run at one go, a schedule for more epochs takes another course")
    return ["drift", *lines] if lines else ["no drift: the same code, packages, machine and data"]


def _why(before: Run) -> str:
    is_free = str(before.environment.get("device")).startswith("cuda") and not config(before).get("deterministic")
    return (
        "a GPU gives the same bits with deterministic=true alone" if is_free else "what has changed since stands above"
    )


def _judge(before: Run, after: Run, tolerance: float) -> list[str]:
    """A row for each metric, PASS or FAIL; the names of those that failed."""
    rows = []
    for split in SPLITS:
        was, now = before.metrics(split), after.metrics(split)
        for name in {**was, **now}:
            rows.append((f"{split}/{name}", was.get(name), now.get(name)))
    passed = [_is_same(was, now, tolerance) for _, was, now in rows]
    columns = [
        Column("metric", [name for name, _, _ in rows]),
        Column("was", [_number(was) for _, was, _ in rows], right=True),
        Column("is", [_number(now) for _, _, now in rows], right=True),
        Column("difference", [_difference(was, now) for _, was, now in rows], right=True),
        Column("verdict", ["PASS" if ok else "FAIL" for ok in passed]),
    ]
    say("")
    show(columns, whole=True)
    return [name for (name, _, _), ok in zip(rows, passed, strict=True) if not ok]


def _number(value: float | None) -> str:
    return "missing" if value is None else number(value)


def _difference(was: float | None, now: float | None) -> str:
    return "" if was is None or now is None or was == now else f"{now - was:+.3g}"


def _is_same(was: float | None, now: float | None, tolerance: float) -> bool:
    """Within the tolerance of the larger; NaN is the same as NaN."""
    if was is None or now is None:
        return False
    if was == now or (was != was and now != now):
        return True
    return abs(was - now) <= tolerance * max(abs(was), abs(now))
