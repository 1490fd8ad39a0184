"""`dltrain reproduce`: repeat a run in a new folder, and compare the results."""

import math
import shlex
import subprocess
import sys
from pathlib import Path

from trainer.cli.settings import Setting, Settings, Usage
from trainer.config.keys import parse_line, without
from trainer.errors import CheckpointError, DltrainError
from trainer.runs.diff import config, differing, place
from trainer.runs.index import ROOT, Run, find, look, new_folder
from trainer.runs.resume import command_of
from trainer.view.table import Column, say, show
from trainer.view.words import number, shown

USAGE = Usage(
    settings={
        "run": Setting("a run folder, last, or best of the newest sweep"),
        "tolerance": Setting(
            "largest relative difference of a metric that passes",
            "0",
            expected="a relative difference, 0 or more, as in 1e-4",
            fits=lambda value: 0 <= value < math.inf,
        ),
    },
    examples=("dltrain reproduce run=last", "dltrain reproduce run=best tolerance=1e-4"),
)


def main(given: Settings) -> None:
    """Run again, and compare.

    Raises:
        CheckpointError: no such run, or one that has not finished.
        DltrainError: the second run fails, or a metric differs.
    """
    tolerance = float(given.values["tolerance"])
    before = _finished(find(given.values["run"]))
    after = _again(before)
    say("", *_drift(before, after))
    if failed := _judge(before, after, tolerance):
        is_free = str(before.environment.get("device")).startswith("cuda") and not config(before).get("deterministic")
        why = "a GPU is bit-reproducible only with deterministic=true" if is_free else "see above for what has changed"
        raise DltrainError(
            f"{shown(before.folder)} was not reproduced: {', '.join(failed)} of {shown(after.folder)} differ by more "
            f"than tolerance={tolerance:g}; {why}"
        )


def _finished(folder: Path) -> Run:
    found = look(folder)
    if found is None or found.state != "finished":
        state = found.state if found else "damaged"
        cure = "wait for it" if state == "running" else f"finish it with dltrain resume={shown(folder)}"
        raise CheckpointError(f"{shown(folder)} has not finished ({state}); {cure}")
    return found


def _again(before: Run) -> Run:
    """Run it in a subprocess, in the folder where it was started if that still exists."""
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
        if not isinstance(error, KeyboardInterrupt):  # both processes got that
            process.terminate()
        process.wait()
        raise
    after = look(folder)
    if code or after is None:
        raise DltrainError(f"the second run ended with exit code {code}; its log is in {shown(folder)}")
    return after


def _command(folder: Path) -> list[str]:
    """Return the flags of the command that started a run, and its overrides."""
    overrides = without(Run(folder).overrides, "resume", "hydra.run.dir")
    flags = [word for word in command_of(folder) if word.startswith("-") or parse_line(word).value is None]
    return [*(flag for flag in flags if flag not in ("-m", "--multirun")), *overrides]


def _drift(before: Run, after: Run) -> list[str]:
    """List what has changed since and may affect results, one line each."""
    was, now = config(before) | place(before), config(after) | place(after)
    lines = [f"  {key}: {was.get(key, 'not noted')} -> {now.get(key, 'not noted')}" for key in differing([was, now])]
    uncommitted = [key for key, value in place(after).items() if key.endswith("git.dirty") and value]
    lines += [f"  {key.split('.')[0]}: uncommitted changes" for key in uncommitted]
    if before.environment.get("resumed"):
        lines.append("  it was resumed: if that added epochs, an uninterrupted run has another learning-rate schedule")
    return ["drift", *lines] if lines else ["no drift: the same code, packages, machine and data"]


def _judge(before: Run, after: Run, tolerance: float) -> list[str]:
    """Print each metric with PASS or FAIL; return the names of those that failed."""
    rows = []
    for split in ("best", "test"):
        was, now = before.metrics(split), after.metrics(split)
        for name in {**was, **now}:
            old, new = was.get(name), now.get(name)
            difference, is_same = "", False
            if old is not None and new is not None:
                difference = "" if old == new else f"{new - old:+.3g}"
                is_same = math.isclose(old, new, rel_tol=tolerance) or (old != old and new != new)  # NaN equals NaN
            values = ["missing" if value is None else number(value) for value in (old, new)]
            rows.append([f"{split}/{name}", *values, difference, "PASS" if is_same else "FAIL"])
    titles = ("metric", "was", "is", "difference", "verdict")
    columns = zip(titles, zip(*rows, strict=True), strict=False)
    say("")
    show([Column(title, cells, right=title not in ("metric", "verdict")) for title, cells in columns], whole=True)
    return [name for name, *_, verdict in rows if verdict == "FAIL"]
