"""The floor: the same forward, backward and step on batches that were laid out in memory beforehand, nothing else.

    python benchmarks/peers/floor.py --model mlp --batch 64 --epochs 5 --data ...
    python benchmarks/peers/floor.py --model cnn --kept --data ...      # with glibc told to keep freed memory
    python benchmarks/peers/floor.py --model line                      # the bare loop of the tiny problem

`resnet`, `googlenet`, `gru` and `simple_cnn` are the tool's own models; the others are those of task.py. Evaluation
after each epoch, in batches of 1000 as for all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import task
import torch
from torch import nn

OWN = {
    "simple_cnn": "cnn.SimpleCNN",
    "resnet": "resnet.ResNet",
    "googlenet": "googlenet.GoogLeNet",
    "gru": "rnn.Recurrent",
}


def build(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model and its optimizer, as the tool makes them for MNIST."""
    if name not in OWN:
        model = task.build(name)
        chosen = task.OPTIMIZERS[name]
        return model, chosen.type(model.parameters(), lr=chosen.lr)
    from importlib import import_module

    module, kind = OWN[name].split(".")
    options = {"kind": "gru"} if name == "gru" else {}
    known = {"in_shape": (1, 28, 28), "out_features": 10} | ({"vocab_size": None} if name == "gru" else {})
    model = getattr(import_module(f"trainer.models.{module}"), kind)(**known, **options)
    return model, torch.optim.Adam(model.parameters(), lr=0.003, fused=True)


def main() -> None:
    """One line of JSON, as the peers print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=[*task.OPTIMIZERS, *OWN], required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--test", type=int, default=10_000, help="test images to evaluate after each epoch")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kept", action="store_true", help="freed memory stays in the process")
    given = parser.parse_args()
    if given.kept:
        from trainer.engine import numerics

        numerics.settle_memory()
    torch.manual_seed(0)
    options = task.Options(given.model, given.batch, given.epochs, given.data, given.samples, given.test, 0, None)
    is_line = given.model == "line"
    train, test = (task.line(options._replace(samples=800)),) * 2 if is_line else task.mnist(options)
    batch = 10 if is_line else given.batch
    batches = list(zip(*(torch.from_numpy(part).split(batch) for part in train), strict=True))
    tests = [] if is_line else list(zip(*(torch.from_numpy(part).split(1000) for part in test), strict=True))
    model, optimizer = build(given.model)
    loss_function = task.loss_of(given.model)
    right = 0
    start = time.perf_counter()
    for _ in range(given.epochs):
        model.train()
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss_function(model(inputs), targets).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(inputs).argmax(1) == targets.flatten()).sum()) for inputs, targets in tests)
    seconds = time.perf_counter() - start
    steps = given.epochs * len(batches)
    accuracy = 100 * right / max(1, sum(len(targets) for _, targets in tests))
    print(json.dumps({"train_s": seconds, "epochs": given.epochs, "steps": steps, "accuracy": accuracy}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
