"""Time `dltrain runs` with many runs: the whole process, and the part that is Python's own start.

python benchmarks/runs.py [1000]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLUMNS = ("loss", "accuracy", "f1_macro")


def make(folder: Path, number: int) -> None:
    """Make a finished run's folder, without weights."""
    folder.mkdir(parents=True)
    names = {"data": "mnist", "model": "mlp", "loss": "auto", "optim": "adam", "scheduler": "cosine"}
    values = dict.fromkeys(COLUMNS, number / 10000.0)
    summary = {"status": "finished", "names": names, "best": values, "test": values, "monitor": "accuracy"}
    summary |= {"higher_is_better": True, "train_s": 12.3, "epochs": 10, "learned": {"w": [0.1] * 100}}
    day, second = divmod(number, 86_400)
    when = f"2026-01-{1 + day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000+00:00"
    environment = {"time": when, "command": ["dltrain", "model=mlp"], "packages": {"torch": "2.15.0"}, "git": None}
    (folder / ".lock").write_text("process 1 on nowhere")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    (folder / "environment.json").write_text(json.dumps(environment, indent=2))


def seconds(*command: str, cwd: str) -> list[float]:
    """Return the seconds of five calls."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        found.append(time.perf_counter() - start)
    return found


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
num_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
with tempfile.TemporaryDirectory() as temporary:
    for run in range(num_runs):
        make(Path(temporary) / "outputs" / "2026-01-01" / f"{run:06}-mlp-mnist", run)
    for title, command in {
        "python -c pass": ("-c", "pass"),
        "dltrain runs": ("-m", "trainer.cli", "runs"),
        "dltrain runs model=mlp sort=metric last=10": (
            "-m",
            "trainer.cli",
            "runs",
            "model=mlp",
            "sort=metric",
            "last=10",
        ),
        "dltrain runs --json": ("-m", "trainer.cli", "runs", "--json"),
    }.items():
        times = seconds(*command, cwd=temporary)
        print(f"{title:44} {statistics.median(times):.3f} s [{min(times):.3f}..{max(times):.3f}], {num_runs:,} runs")
