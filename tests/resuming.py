"""Interrupt a run at an exact batch, and compare the ends of runs bit by bit."""

import csv
import json

import torch
from safetensors.torch import load_file

from trainer.engine.stopping import Watched


def before_batch(number, act):
    """Return a `Watched.__iter__` that calls `act()` before it yields the batch of that number, counting all splits."""
    iterate, seen = Watched.__iter__, 0

    def counted(self):
        nonlocal seen
        for item in iterate(self):
            seen += 1
            if seen == number:
                act()
            yield item

    return counted


def end_of(folder):
    """Return a finished run's weights, training state, best weights, metrics and test results, without the clock."""
    last = folder / "checkpoints" / "last"
    state = torch.load(last / "state.pt", weights_only=True)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    return {
        "weights": {file.name: load_file(file) for file in last.glob("*.safetensors")},
        "state": {key: value for key, value in state.items() if key != "seconds"},
        "best": load_file(folder / "checkpoints" / "best" / "model.safetensors"),
        "metrics.csv": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
        "test": json.loads((folder / "summary.json").read_text())["test"],
    }


def same(a, b):
    """Return whether two values are equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def different(a, b):
    """Return the names of the parts in which the ends of two runs differ."""
    return [part for part in a if not same(a[part], b[part])]
