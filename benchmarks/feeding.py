"""Sections of docs/PERFORMANCE.md on what the model is fed with: size, augmentation, files, batches in evaluation."""

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

    Tables of 20 numbers and a target. To read one is to parse, check, split and standardise it; a million rows may take
    4 s. Memory is what the process has at most while it reads, beyond its imports, by the size of the file; of large
    ones 2.2 may be taken. An example's cost is that of data, forward, backward and update with the default mlp in
    batches of 64, in microseconds, over 10,000 updates.

    Short: an example's cost goes up and down with the machine, not with the size, as the column of data shows. The
    memory of a million rows holds the table in double precision once beside its parts.
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
    head = ["rows", "file, MB", "seconds to read", "asked", "memory, files", "asked", "data", "an example"]
    keep(scale, [*head, "by that of 1,000 rows"], rows)


def _an_example(run: Result, parts: tuple[str, ...]) -> float:
    return 1e6 * sum(run.summary["seconds"][part] for part in parts) / (64 * run.summary["steps"])


def augmentation() -> None:
    """Augmentation.

    All that is done for a batch before the model reads it, its gathering and standardising included, as a share of
    forward, backward and update of `simple_cnn` in fp32; from the run's own clock.

    Short: all seven together, in small batches.
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
    keep(augmentation, ["model, batch", "", "% of a step", "asked"], rows)


def streaming() -> None:
    """Streaming.

    2,000 JPEG files of 96 x 96 pixels, scaled to 64 x 64, through `model=resnet` in batches of 64: the share of the
    time of data, forward, backward and update in which the model waits for data. What is left with two workers is the
    beginning of each epoch. On two cores, which the model needs itself, reading in its own process is the fastest.
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

    Seconds for a pass over 10,000 images of 28 x 28, the least of four, by the size of the batches. The tool takes
    1,000, fewer where images are large, or the training batch where that is larger.
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
