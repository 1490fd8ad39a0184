"""Paired timing, and tables that record how and where they were measured.

Contenders take turns in separate processes, in reverse order every second turn, so that a machine that slows down
affects all of them. Ratios within a turn are compared; their median and spread are reported.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"
DATA = Path(os.environ.get("DLTRAIN_DATA", "data")).absolute()
THREADS = {"OMP_NUM_THREADS": "2"}


class Page(NamedTuple):
    """A page of docs/: the text above its sections, and the script that measures them."""

    name: str  # in capitals: what was measured is kept in a .json of that name in small letters
    title: str
    text: str
    script: str
    folder: Path = ROOT / "docs"

    @property
    def kept(self) -> Path:
        """File with the tables as last measured."""
        return self.folder / f"{self.name.lower()}.json"


PERFORMANCE = Page(
    "PERFORMANCE",
    "How fast it is",
    """
    Written by `python benchmarks/performance.py` (see its docstring) from `docs/performance.json`. Contenders take
    turns in separate processes; a ratio is the median over turns, followed by minimum and maximum. Goals are next to
    the numbers, in **bold** where they were missed.
    """,
    "performance.py",
)


class Result(NamedTuple):
    """The time a contender took, and the accuracy it reached."""

    seconds: float  # of training, an epoch or a step, as the section says
    accuracy: float  # percent
    whole_s: float  # the whole process
    summary: dict


def dltrain(*overrides: str, per: str = "epochs") -> Result:
    """Run the tool; return its training time per `epochs` or `steps`."""
    with tempfile.TemporaryDirectory() as folder:
        if "model=examples_cnn" in overrides:
            overrides = (*_with_the_cnn_of_the_peers(Path(folder)), *overrides)
        start = time.perf_counter()
        command = [sys.executable, "-m", "trainer.cli", *overrides, f"hydra.run.dir={folder}/run"]
        environment = os.environ | THREADS | {"PYTHONPATH": str(ROOT), "DLTRAIN_DATA": str(DATA)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        whole_s = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"dltrain {' '.join(overrides)}\n{done.stderr}")
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    accuracy = 100 * summary["test"].get("accuracy", float("nan"))
    return Result(summary["train_s"] / summary[per], accuracy, whole_s, summary)


def _with_the_cnn_of_the_peers(folder: Path) -> list[str]:
    """Add the peers' CNN to the working folder, one file and two yamls, as a user would."""
    for group, name, text in [
        ("model", "examples_cnn", "_target_: task.CNN\n"),
        ("optim", "adadelta", "_target_: torch.optim.Adadelta\nlr: 1.0\n"),
    ]:
        (folder / "conf" / group).mkdir(parents=True)
        (folder / "conf" / group / f"{name}.yaml").write_text(f"# of the peers\n{text}")
    (folder / "task.py").write_text((PEERS / "task.py").read_text())
    return ["--config-dir=conf"]


def peer(script: str, *options: str, per: str = "epochs") -> Result:
    """Run a peer's script in the peers' environment."""
    python = PEERS / ".venv" / "bin" / "python"
    own = script == "floor"  # needs nothing but torch and the tool's models
    command = [sys.executable if own else str(python), str(PEERS / f"{script}.py"), *options, "--data", str(DATA)]
    if not own and not python.exists():
        sys.exit("the peers have no environment yet: python benchmarks/performance.py install")
    environment = os.environ | THREADS | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Result(found["train_s"] / found[per], found["accuracy"], time.perf_counter() - start, found)


def taken_in_turns(contenders: Mapping[str, Callable[[], Result]], turns: int) -> dict[str, list[Result]]:
    """Return name -> results, one per turn."""
    found: dict[str, list[Result]] = {name: [] for name in contenders}
    for turn in range(turns):
        for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(contenders[name]())
            print(f"    {name:32} {found[name][-1].seconds:10.5f} s  {found[name][-1].accuracy:6.2f}", flush=True)
    return found


def ratio(of: list[Result], to: list[Result]) -> tuple[float, str]:
    """Return the median of the ratios within each turn, and the same as text with its spread."""
    ratios = [a.seconds / b.seconds for a, b in zip(of, to, strict=True)]
    middle = statistics.median(ratios)
    return middle, f"{middle:.3f}" + (f" [{min(ratios):.2f}..{max(ratios):.2f}]" if len(ratios) > 1 else "")


def verdict(value: float, most: float) -> str:
    """Return the goal, in bold if the value misses it."""
    return f"at most {most:g}" if value <= most else f"**at most {most:g}**"


def machine() -> str:
    """Return date, commit, machine and versions of a measurement."""
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    packages = ", ".join(f"{name} {version(name).split('+')[0]}" for name in ("torch", "torchvision", "hydra-core"))
    return (
        f"{date.today()}, {commit()}{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
    )


def commit() -> str:
    """Return the commit that is measured, in a checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True)
    return f"commit {found.stdout.strip()}, " if found.returncode == 0 else ""


def spread(values: list[float]) -> str:
    """Return median, minimum and maximum as text."""
    return f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def keep(
    section: Callable[[], None],
    head: list[str],
    rows: list[list[str]],
    page: Page = PERFORMANCE,
    also: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Store a section's table with the others; `also` adds versions to those of all tables."""
    kept = json.loads(page.kept.read_text()) if page.kept.exists() else {}
    kept[section.__name__] = {
        "head": head,
        "rows": rows,
        "measured": ", ".join([machine(), *map(" ".join, also.items())]),
    }
    page.kept.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def write(sections: Iterable[Callable[[], None]], page: Page = PERFORMANCE) -> None:
    """Write a page of docs/ from the stored tables; a section's docstring is its title and text."""
    kept = json.loads(page.kept.read_text())
    lines = [f"# {page.title}", "", *inspect.cleandoc(page.text).splitlines(), ""]
    for section in sections:
        if table := kept.get(section.__name__):
            title, *text = inspect.cleandoc(section.__doc__ or "").splitlines()
            lines += [f"## {title.rstrip('.')}", *text, "", _row(table["head"])]
            lines += [_row(["---"] * len(table["head"])), *map(_row, table["rows"]), ""]
            lines += [f"`python benchmarks/{page.script} {section.__name__}`, {table['measured']}", ""]
    (page.kept.parent / f"{page.name}.md").write_text("\n".join(lines))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
