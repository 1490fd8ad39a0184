"""Make and read the data for feeding.py: `made.py ROWS FOLDER`, `read FOLDER`, `images FOLDER`."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np


def make(num_rows: int, folder: Path) -> None:
    """Write a table of 20 numeric columns and a target that depends on them."""
    import pandas as pd

    random = np.random.default_rng(0)
    weights = random.standard_normal(20, np.float32)
    for start in range(0, num_rows, 500_000):
        inputs = random.standard_normal((min(500_000, num_rows - start), 20), np.float32)
        frame = pd.DataFrame(inputs, columns=[f"x{i}" for i in range(20)]).assign(y=inputs @ weights)
        frame.to_csv(folder / "table.csv", mode="a", header=not start, index=False, float_format="%.5g")


def read(folder: Path) -> None:
    """Print the seconds, and the memory as a multiple of the file size."""
    import pandas  # noqa: F401 - what is imported does not count
    import torch._dynamo  # noqa: F401

    from trainer.data.tabular import csv

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    csv(path=str(folder / "table.csv"), target="y")
    seconds = time.perf_counter() - start
    more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    print(seconds, more / (folder / "table.csv").stat().st_size)


def images(folder: Path) -> None:
    """Write JPEG files of two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for name in ("light", "dark"):
        (folder / name).mkdir()
        for number in range(1000):
            pixels = random.integers(0, 128, (12, 12, 3)) + (100 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).resize((96, 96)).save(folder / name / f"{number}.jpg")


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what.isdigit():
        make(int(what), folder)
    else:
        {"read": read, "images": images}[what](folder)
