"""`dltrain reproduce`: repeat a run in a new folder, and compare the results."""

import math
import shlex
from pathlib import Path

from trainer.cli.settings import TRUST, Setting, Settings, Usage
from trainer.errors import CheckpointError, DltrainError
from trainer.runs.diff import config, differing, place
from trainer.runs.index import Run, find, look, new_folder
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
        "trust": TRUST,
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
    after = _again(before, given.values["trust"] == "true")
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


def _again(before: Run, trust: bool) -> Run:
    """Run it in a new folder, in the working folder as it is now."""
    from trainer.cli.start import run_in
    from trainer.config.command_line import again
    from trainer.runs.resume import recorded, restored

    settings = recorded(before.folder)
    cfg = restored(settings, before.folder, trust)
    folder = new_folder("again")
    command = [*again(settings), *settings.overrides]
    if before.latest.get("folder") != str(Path.cwd()):
        say(f"started in {before.latest.get('folder')}; relative paths now refer to {Path.cwd()}")
    say(f"dltrain {shlex.join([*command, f'hydra.run.dir={folder}'])}", "")
    run_in(folder, cfg, command)
    return Run(folder)


def _drift(before: Run, after: Run) -> list[str]:
    """List what has changed since and may affect results, one line each."""
    was, now = config(before) | place(before), config(after) | place(after)
    lines = [f"  {key}: {was.get(key, 'unknown')} -> {now.get(key, 'unknown')}" for key in differing([was, now])]
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
