"""The sweep that every contender of benchmarks/sweeps.py makes: its networks, its data, and what a script prints.

A script goes through all combinations of `--model mlp simple_cnn --lr 1e-3 1e-2 --seed 1 2`, one after the other. It
prints a line of JSON for each: model, lr, seed, steps (of the optimizer), val (the best accuracy of an epoch) and test.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from trainer.models.cnn import SimpleCNN
from trainer.models.mlp import MLP

BATCH, TEST_BATCH, VAL_FRACTION = 64, 1000, 0.2
MEAN, STD = 0.1307, 0.3081  # of the pixels of the training images, on a scale from 0 to 1


class Job(NamedTuple):
    """One of the grid."""

    model: str
    lr: float
    seed: int


class Scores(NamedTuple):
    """What came of a job; accuracies are shares."""

    steps: int
    val: float
    test: float


class Options(NamedTuple):
    """Of the command line, for every job."""

    data: Path
    epochs: int
    batches: int | None  # of an epoch
    output: Path  # of the job


def build(model: str) -> nn.Module:
    """The tool's own model, with the arguments that its yaml gives."""
    if model == "mlp":
        return MLP((1, 28, 28), 10, dropout=0.2)
    return SimpleCNN((1, 28, 28), 10)


def loaders(root: Path) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Training, validation and test images, as the tutorials load them."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    images = datasets.MNIST(root, train=True, transform=transform)
    first = round(len(images) * (1 - VAL_FRACTION))
    train, val = Subset(images, range(first)), Subset(images, range(first, len(images)))
    test = datasets.MNIST(root, train=False, transform=transform)
    return DataLoader(train, BATCH, shuffle=True), DataLoader(val, TEST_BATCH), DataLoader(test, TEST_BATCH)


def main(run: Callable[[Job, Options], Scores]) -> None:
    """Run every job that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="holds MNIST/raw/*-ubyte")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for logs and checkpoints")
    parser.add_argument("--batches", type=int, help="of an epoch (default: all)")
    parser.add_argument("--model", nargs="+", choices=("mlp", "simple_cnn"), required=True)
    parser.add_argument("--lr", nargs="+", type=float, required=True)
    parser.add_argument("--seed", nargs="+", type=int, required=True)
    given = parser.parse_args()
    for job in itertools.starmap(Job, itertools.product(given.model, given.lr, given.seed)):
        folder = given.output / f"{job.model}-{job.lr:g}-{job.seed}"
        scores = run(job, Options(given.data, given.epochs, given.batches, folder))
        print(json.dumps(job._asdict() | scores._asdict()), flush=True)
