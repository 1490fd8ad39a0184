"""Run every recipe in conf/experiment/ with three seeds, and write the results to docs/RESULTS.md.

    DLTRAIN_DATA=... python benchmarks/results.py            # all of them, about half an hour on two cores
    DLTRAIN_DATA=... python benchmarks/results.py mnist_mlp  # only these; the others as last measured

Each is the command line a user would type, in a separate process, one after another. Measurements are stored in
docs/results.json, from which the tables are written.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "docs" / "results.json"
SEEDS = (0, 1, 2)
SECONDS = 180  # of training, at most


class Expected(NamedTuple):
    """A recipe's test metric and goal: a minimum score, or a value with a tolerance."""

    metric: str
    value: float
    tolerance: float | None = None  # None: the value is a lower bound

    def __str__(self) -> str:
        return f"at least {self.value:g}" if self.tolerance is None else f"{self.value:g} within {self.tolerance:g}"

    def is_met(self, found: float) -> bool:
        """Return whether a test metric meets its goal."""
        return found >= self.value if self.tolerance is None else abs(found - self.value) <= self.tolerance


RECIPES = {
    "linear_line": Expected("prediction for 4", 8, 0.1),
    "linear_synthetic": Expected("r2", 0.99),
    "logistic_hours": Expected("accuracy", 1),
    "line_grid": Expected("prediction for 4", 8, 1e-5),
    "boston_rooms": Expected("rmse", 6.603, 0.0004),
    "boston_rooms_random": Expected("rmse", 6.603, 0.008),
    "boston_rooms_direction": Expected("rmse", 6.603, 0.0004),
    "boston_all": Expected("r2 less that of least squares", 0, 1e-4),
    "boston_scratch": Expected("r2", 0.8),
    "pima_mlp": Expected("accuracy", 0.651),  # of the majority class
    "mnist_softmax": Expected("accuracy", 0.92),
    "mnist_mlp": Expected("accuracy", 0.978),
    "mnist_cnn": Expected("accuracy", 0.990),
    "mnist_googlenet": Expected("accuracy", 0.990),
    "mnist_resnet": Expected("accuracy", 0.990),
    "mnist_rnn_rows": Expected("accuracy", 0.95),
    "mnist_gru_rows": Expected("accuracy", 0.98),
    "names_gru": Expected("accuracy", 0.84),
}
OPTIMIZERS = sorted(file.stem for file in (ROOT / "conf" / "optim").glob("*.yaml"))


def run(*overrides: str) -> dict:
    """Return the summary of one run in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "trainer.cli", *overrides, f"hydra.run.dir={folder}/run"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(overrides)}\n{done.stderr}")
        return json.loads((Path(folder) / "run" / "summary.json").read_text())


def measure(*overrides: str, metric: str) -> dict:
    """Measure one command line with each seed."""
    summaries = [run(*overrides, f"seed={seed}") for seed in SEEDS]
    for summary in summaries:
        if learned := summary["learned"]:
            summary["test"]["prediction for 4"] = 4 * learned["w"][0] + learned["b"][0]
        if "r2" in summary["test"]:
            known = summary["baselines"]["least squares"]["r2"]
            summary["test"]["r2 less that of least squares"] = summary["test"]["r2"] - known
    row = {
        "command": " ".join(["dltrain", *overrides]),
        "reached": [summary["test"][metric] for summary in summaries],
        "baseline": summaries[0]["baseline"].get(metric),
        "seconds": [summary["train_s"] for summary in summaries],
        "parameters": summaries[0]["num_parameters"],
        "measured": f"{date.today()}, torch {torch.__version__.split('+')[0]}, {_machine()}",
    }
    print(f"{row['command']:60} {metric} {row['reached']}", flush=True)
    return row


def main() -> None:
    """Measure the requested recipes, and write the tables."""
    asked = sys.argv[1:] or [*RECIPES, *OPTIMIZERS]
    for name in asked:
        if name in RECIPES:
            row = measure(f"experiment={name}", metric=RECIPES[name].metric)
        elif name in OPTIMIZERS:
            row = measure("data=synthetic_linear", "model=linear", f"optim={name}", "epochs=30", metric="r2")
        else:
            sys.exit(f"{name} is neither a recipe nor an optimizer; choose from {', '.join([*RECIPES, *OPTIMIZERS])}")
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        KEPT.write_text(json.dumps(kept | {name: row}, indent=1, sort_keys=True) + "\n")
        write()


def write() -> None:
    """Write docs/RESULTS.md from the stored results."""
    kept = json.loads(KEPT.read_text())
    bound = Expected("r2", 0.99)
    lines = [
        "# What the recipes reach",
        "",
        "Written by `python benchmarks/results.py` (see its docstring) from `docs/results.json`. The test metric for",
        "seeds 0, 1 and 2, its mean and standard deviation, and the longest of the three training times. A recipe is",
        "`dltrain experiment=<recipe>`. The baseline is the best of those that a run is compared with, by the",
        "monitored metric, for seed 0.",
        "",
        *_table(RECIPES, kept, "recipe"),
        "",
        "## Every optimizer on data with a known answer",
        "",
        "`dltrain data=synthetic_linear model=linear optim=<optimizer> epochs=30`, all else at its default.",
        "",
        *_table(dict.fromkeys(OPTIMIZERS, bound), kept, "optimizer"),
        "",
        "## Where it was measured",
        "",
        *sorted({f"- {row['measured']}" for row in kept.values()}),
        "",
    ]
    (KEPT.parent / "RESULTS.md").write_text("\n".join(lines))


def _table(rows: dict[str, Expected], kept: dict[str, dict], title: str) -> list[str]:
    lines = [
        f"| {title} | metric | expected | seed 0 | seed 1 | seed 2 | mean | baseline | seconds | parameters |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, expected in rows.items():
        if row := kept.get(name):
            each = [f"{v:.4f}{'' if expected.is_met(v) else ' **short**'}" for v in row["reached"]]
            mean, deviation = statistics.mean(row["reached"]), statistics.stdev(row["reached"])
            seconds = max(row["seconds"])
            baseline = "" if row["baseline"] is None else f"{row['baseline']:.4f}"
            lines.append(
                f"| {name} | {expected.metric} | {expected} | {' | '.join(each)} | {mean:.4f} ± {deviation:.4f} "
                f"| {baseline} | {seconds:.1f}{'' if seconds <= SECONDS else ' **long**'} | {row['parameters']:,} |"
            )
    return lines


def _machine() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return f"{device}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _processor() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return models[0].split(":")[1].strip() if models else platform.processor()


if __name__ == "__main__":
    main()
