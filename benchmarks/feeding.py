"""Sections of docs/PERFORMANCE.md on input: size, augmentation, image files, evaluation batches."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import ROOT, Result, dltrain, keep, spread, taken_in_turns, verdict

LEARNING = ("forward", "backward", "update")
PASSES = """
import sys, time, torch
from trainer.engine import numerics
from trainer.models import cnn, mlp, resnet
numerics.settle_memory()
torch.set_num_threads(2)
images = torch.randn(10_000, 1, 28, 28)
models = {"mlp": mlp.MLP, "simple_cnn": cnn.SimpleCNN, "resnet": resnet.ResNet}
model = models[sys.argv[1]]((1, 28, 28), 10).eval()
least = dict.fromkeys((64, 256, 1000, 4000, 10000), 1e9)
with torch.no_grad():
    for _ in range(4):
        for size in least:
            start = time.perf_counter()
            for part in images.split(size):
                model(part)
            least[size] = min(least[size], time.perf_counter() - start)
print(*least.values())
"""


def scale() -> None:
    """Scale.

    Tables with 20 numeric columns and a target. Reading means parsing, checking, splitting and standardising; the goal
    for a million rows is 4 s. Memory is the peak while reading, beyond imports, relative to the file size; the goal for
    large files is 2.2. The cost per example is that of data, forward, backward and update with the default mlp in
    batches of 64, in microseconds, over 10,000 updates.

    Goals missed: the cost per example varies with the machine, not with the size, as the data column shows. At a
    million rows, memory holds the table in double precision once in addition to its parts.
    """
    rows: list[list[str]] = []
    costs: list[float] = []
    for num_rows in (1_000, 100_000, 1_000_000, 5_000_000):
        with tempfile.TemporaryDirectory() as folder:
            _python(str(ROOT / "benchmarks" / "made.py"), str(num_rows), folder)
            size = (Path(folder) / "table.csv").stat().st_size
            seconds, more = map(float, _python(str(ROOT / "benchmarks" / "made.py"), "read", folder).split())
            ours = ("data=csv", f"data.path={folder}/table.csv", "data.target=y", "data.batch_size=64", "model=mlp")
            runs = [dltrain(*ours, "epochs=1000", "max_steps=10000", "scheduler=constant") for _ in range(2)]
        costs.append(statistics.median(_an_example(run, ("data", *LEARNING)) for run in runs))
        data = statistics.median(_an_example(run, ("data",)) for run in runs)
        limits = [
            verdict(seconds, 4) if num_rows == 1_000_000 else "",
            verdict(more, 2.2) if num_rows > 100_000 else "",
        ]
        flat = f"{costs[-1] / costs[0]:.2f}, {verdict(costs[-1] / costs[0], 1.1)}"
        row = [f"{num_rows:,}", f"{size / 1e6:,.1f}", f"{seconds:.2f}", limits[0], f"{more:.2f}", limits[1]]
        rows.append([*row, f"{data:.3f}", f"{costs[-1]:.3f}", flat])
        print("   ", rows[-1], flush=True)
    head = ["rows", "file, MB", "seconds to read", "goal", "memory, files", "goal", "data", "per example, us"]
    keep(scale, [*head, "by that of 1,000 rows"], rows)


def _an_example(run: Result, parts: tuple[str, ...]) -> float:
    return 1e6 * sum(run.summary["seconds"][part] for part in parts) / (64 * run.summary["steps"])


def augmentation() -> None:
    """Augmentation.

    Everything done to a batch before the model reads it, including gathering and standardising, as a percentage of
    forward, backward and update of `simple_cnn` in fp32, by the run's own clock.

    The goal is missed with all seven together, in small batches.
    """
    each = {"none": "", "shift": "2", "flip": "0.5", "crop": "0.2", "rotation": "15"}
    each |= {"noise": "0.1", "cutout": "8", "mixup": "0.2"}
    options = {name: [f"augment.{name}={value}"] if value else [] for name, value in each.items()}
    options["all"] = [one for given in options.values() for one in given]
    rows = []
    for batch, batches in [(64, 150), (256, 50)]:
        ours = ("data=mnist", "model=simple_cnn", f"data.batch_size={batch}", f"limit_batches={batches}", "epochs=1")
        found = taken_in_turns({name: partial(dltrain, *ours, *given) for name, given in options.items()}, turns=1)
        for name, results in found.items():
            spent = [result.summary["seconds"] for result in results]
            share = statistics.median(100 * s["data"] / sum(s[part] for part in LEARNING) for s in spent)
            rows.append([f"simple_cnn, {batch}", name, f"{share:.1f}", verdict(share, 5)])
    keep(augmentation, ["model, batch", "", "% of a step", "goal"], rows)


def streaming() -> None:
    """Streaming.

    2,000 JPEG files of 96 x 96 pixels, resized to 64 x 64, through `model=resnet` in batches of 64: the percentage of
    the time of data, forward, backward and update that the model waits for data. With two workers, only the start of
    each epoch is left. On two cores, which the model needs itself, reading in the main process is fastest.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _python(str(ROOT / "benchmarks" / "made.py"), "images", folder)
        ours = ("data=image_folder", f"data.path={folder}", "data.size=64", "data.batch_size=64", "model=resnet")
        for workers in (0, 1, 2):
            results = [dltrain(*ours, f"data.workers={workers}", "epochs=2") for _ in range(2)]
            spent = [result.summary["seconds"] for result in results]
            waits = [100 * s["data"] / sum(s[part] for part in ("data", *LEARNING)) for s in spent]
            speeds = [result.summary["samples_per_s"] for result in results]
            rows.append([f"{workers}", spread(waits), spread(speeds)])
    keep(streaming, ["data.workers", "waiting, %", "samples/s"], rows)


def evaluation() -> None:
    """Batches in evaluation.

    Seconds for a pass over 10,000 images of 28 x 28, best of four, by batch size. The tool uses 1,000, fewer for large
    images, or the training batch size if that is larger.
    """
    rows = [
        [model, *(f"{float(s):.3f}" for s in _python("-c", PASSES, model).split())]
        for model in ("mlp", "simple_cnn", "resnet")
    ]
    keep(evaluation, ["model", "64", "256", "1,000", "4,000", "10,000"], rows)


def _python(*arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment)
    return done.stdout
