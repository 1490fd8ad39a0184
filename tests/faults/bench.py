"""Run a command in a process that is killed, damaged or starved for real, and count what it survives.

Most processes are forked from this one, which has imported what a run imports: each takes under a second. A resumed run
must end as the unbroken one: weights, state, best weights, metrics.csv without its clock, test metrics, and each step
once in TensorBoard.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import resuming
import torch
from resuming import different

from trainer import cli

ROOT = Path(__file__).parents[2]
TINY = [
    *("data=digits", "model=mlp", "model.hidden=[16]", "model.dropout=0.3", "ema=0.9", "limit_batches=8", "epochs=4"),
    "plots=off",
    *("log_every=1", "checkpoint.min_seconds=0", "checkpoint.every_steps=3"),
]
BEGIN = [*TINY, "hydra.run.dir=run"]
IMPORTED = ("sklearn.linear_model", "torch._dynamo", "trainer.training", "trainer.view.board.writing")
Fault = Callable[[], None]


def forked(folder: Path, arguments: list[str], fault: Fault = lambda: None, kill_after: float | None = None) -> int:
    """Run `dltrain` in a forked process after `fault()`; return its exit code, or minus the signal that ended it.

    What it prints is in `folder`; see `words`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if not child:
        os.chdir(folder)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))  # not those of pytest
        warnings.resetwarnings()
        torch.set_num_threads(1)
        sys.argv[1:] = arguments
        code = 1
        try:
            fault()
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def end_of(folder: Path) -> dict:
    """Return what a finished run leaves behind, TensorBoard's scalars included."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # only where trials run

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return {**resuming.end_of(folder), "tensorboard": scalars}


def words(folder: Path) -> str:
    """Return what the last command in a folder printed."""
    return (folder / "out").read_text() + (folder / "err").read_text()


class Bench:
    """Folders for trials, the unbroken run, and the rows of the table; `quick` asks for a part of the trials."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick, self.count = folder, quick, 0
        self.rows: list[tuple[str, int, int, str]] = []
        self.draw = random.Random(0)
        for module in IMPORTED:
            importlib.import_module(module)
        started = time.monotonic()
        assert forked(folder / "reference", BEGIN) == 0, words(folder / "reference")
        self.seconds = time.monotonic() - started
        self.reference = end_of(folder / "reference" / "run")
        assert len(self.reference["metrics.csv"]) == 4

    def new(self) -> Path:
        """Return the folder of a new trial."""
        self.count += 1
        return self.folder / f"trial-{self.count}"

    def resumes(self, folder: Path, say: str = "") -> bool:
        """Return whether the run that was interrupted in `folder` is resumed to the end of the unbroken run."""
        run_folder = folder / "run"
        command = ["resume=run"] if (run_folder / "config.yaml").exists() else [*TINY, "hydra.run.dir=again"]
        if command[0] != "resume=run":  # killed before it had started: there is nothing to resume
            run_folder = folder / "again"
        code = forked(folder, command)
        told = words(folder)
        differs = different(end_of(run_folder), self.reference) if not code else []
        left = [path.name for path in (run_folder / "checkpoints").glob(".*")]
        if code or differs or left or say not in told:
            print(f"  {folder}: exit {code}, differs in {differs}, left {left}: {told[-300:]}")
            return False
        return True

    def row(self, what: str, results: list[bool], remark: str = "") -> None:
        """Add a row to the table. Fail unless every trial held."""
        self.rows.append((what, sum(results), len(results), remark))
        print(f"{what}: {sum(results)}/{len(results)} {remark}", flush=True)
        assert all(results)

    def write(self, seconds: float) -> None:
        """Write docs/RELIABILITY.md."""
        version = torch.__version__.split("+")[0]
        lines = [
            "# What runs survive",
            "",
            f"Written by `pytest -n 0 -m faults tests/faults --full` on {date.today()} in {seconds:.0f} s: "
            f"torch {version}, a CPU.",
            f"The uninterrupted run is `dltrain {' '.join(TINY)}`; the docstring of `tests/faults/bench.py` says what "
            "is compared. Broken data files and hostile configs are refused before a run starts: "
            "`tests/data`, `tests/build` and `tests/cli` try those.",
            "",
            "| fault | held | remark |",
            "|---|---|---|",
            *(f"| {what} | {good}/{total} | {remark} |" for what, good, total, remark in self.rows),
            "",
        ]
        (ROOT / "docs" / "RELIABILITY.md").write_text("\n".join(lines))
