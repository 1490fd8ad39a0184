"""What every peer trains, and how it is timed, so that the scripts beside this one differ only in the framework.

Each prints one line of JSON on stdout: peer, model, batch, epochs (that were run), samples, train_s, accuracy (of the
test images, in percent; of `line`, the mean squared error), steps (of the optimizer) and epoch_s (of each epoch, with
its evaluation). What the framework itself prints goes to stderr: to a file, as a log is, for all of them alike, since a
progress bar costs more on a terminal.

Two threads wait for each other at each operation, so that another busy process makes a run not twice but up to 16 times
as long: measure on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch._dynamo  # the first optimizer imports it, which takes a second: not while the clock runs
import torch.nn.functional as F
from torch import Tensor, nn

torch.set_num_threads(2)

MEAN, STD = 0.1307, 0.3081  # of the pixels of the training images, on a scale from 0 to 1
TEST_BATCH = 1000
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class Options(NamedTuple):
    """The command line."""

    model: str
    batch: int
    epochs: int
    data: Path | None
    samples: int
    test: int
    seed: int
    until: float | None

    @property
    def is_line(self) -> bool:
        """Whether it is the tiny problem, which has no test images."""
        return self.model == "line"


class Optimizer(NamedTuple):
    """A class of torch.optim, and its only argument that is not at its default."""

    type: type[torch.optim.Optimizer]
    lr: float


OPTIMIZERS = {
    "logistic": Optimizer(torch.optim.SGD, 0.1),
    "mlp": Optimizer(torch.optim.SGD, 0.1),
    "cnn": Optimizer(torch.optim.Adadelta, 1.0),
    "line": Optimizer(torch.optim.SGD, 0.03),
}


class CNN(nn.Module):
    """The network of pytorch/examples for MNIST: from (batch, 1, 28, 28) to logits of shape (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = F.relu(self.conv1(x))  # (batch, 32, 26, 26)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (batch, 64, 12, 12)
        x = torch.flatten(self.dropout1(x), 1)  # (batch, 9216)
        return self.fc2(self.dropout2(F.relu(self.fc1(x))))


def build(model: str) -> nn.Module:
    """A model of torch by its name on the command line, freshly initialised."""
    return {
        "logistic": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
        "cnn": CNN,
        "line": lambda: nn.Linear(2, 1),
    }[model]()


def loss_of(model: str) -> nn.Module:
    """The loss of a model."""
    return nn.MSELoss() if model == "line" else nn.CrossEntropyLoss()


class Arrays(NamedTuple):
    """Examples in memory, for the peers that take arrays."""

    inputs: np.ndarray  # (samples, 1, 28, 28) float32, normalised as the textbook does it; of `line` (samples, 2)
    targets: np.ndarray  # (samples,) int64; of `line` (samples, 1) float32


def line(options: Options) -> Arrays:
    """Linear regression with a known answer, the same with each seed (Zhang et al., Dive into Deep Learning, 3.2)."""
    random_state = np.random.default_rng(0)
    inputs = random_state.standard_normal((1000, 2), np.float32)
    noise = 0.01 * random_state.standard_normal(1000, np.float32)
    targets = inputs @ np.array([2, -3.4], np.float32) + np.float32(4.2) + noise
    return Arrays(inputs[: options.samples], targets[: options.samples, None])


def mnist(options: Options) -> tuple[Arrays, Arrays]:
    """The first samples of the training images, and the first of the test images."""
    train_images, train_labels, test_images, test_labels = (_idx(_content(options.data, name)) for name in FILES)
    train = Arrays(_normalised(train_images[: options.samples]), train_labels[: options.samples].astype(np.int64))
    return train, Arrays(_normalised(test_images[: options.test]), test_labels[: options.test].astype(np.int64))


def torchvision_root(options: Options) -> Path:
    """Where torchvision finds MNIST unpacked: the folder given, or a copy in the folder that is thrown away."""
    if all((_raw(options.data) / name).exists() for name in FILES):
        return options.data
    root = Path.cwd() / "unpacked"
    _raw(root).mkdir(parents=True)
    for name in FILES:
        (_raw(root) / name).write_bytes(_content(options.data, name))
    return root


def mean_squared_error(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Of two arrays of the same shape."""
    assert predictions.shape == targets.shape
    return float(np.mean((predictions - targets) ** 2))


class Clock:
    """Runs within a `with` block: around training and evaluation, not around imports, reading files or building."""

    def __init__(self, until: float | None) -> None:
        self.until = until
        self.epoch_s: list[float] = []

    def __enter__(self) -> None:
        self._start = self._epoch_start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.train_s = time.perf_counter() - self._start

    def epoch_ends(self, accuracy: float | None = None) -> bool:
        """Note the time, and say whether the accuracy of the test images, in percent, is enough to stop."""
        now = time.perf_counter()
        self.epoch_s.append(now - self._epoch_start)
        self._epoch_start = now
        return self.until is not None and accuracy is not None and accuracy >= self.until


def main(peer: str, train: Callable[[Options, Clock], tuple[int, float]]) -> None:
    """Run a peer in a folder that is thrown away, and print what it took.

    Args:
        peer: its name in the result.
        train: trains with the clock running, and gives the number of steps and the accuracy, as in the result.
    """
    options = _parse()
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    clock = Clock(options.until)
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        os.chdir(folder)  # for checkpoints and logs
        try:
            steps, accuracy = train(options, clock)
        finally:
            os.chdir(home)
    result = {
        "peer": peer,
        "model": options.model,
        "batch": options.batch,
        "epochs": len(clock.epoch_s),
        "samples": options.samples,
        "train_s": round(clock.train_s, 4),
        "accuracy": accuracy if options.is_line else round(accuracy, 2),
        "steps": steps,
        "epoch_s": [round(seconds, 4) for seconds in clock.epoch_s],
    }
    print(json.dumps(result), flush=True)


def _parse() -> Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=OPTIMIZERS, default="mlp")
    parser.add_argument("--batch", type=_positive, help="examples of a step (default: 64; of line 10)")
    parser.add_argument("--epochs", type=_positive, default=1)
    parser.add_argument("--data", type=lambda text: Path(text).resolve(), help="holds MNIST/raw/*-ubyte, .gz or not")
    parser.add_argument("--samples", type=_positive, help="training examples, the first ones (default: all)")
    parser.add_argument("--test", type=_positive, default=10_000, help="test images, the first ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", type=float, help="stop after the epoch that reaches this test accuracy in percent")
    found = parser.parse_args()
    is_line = found.model == "line"
    available = 1000 if is_line else 60_000
    found.samples = found.samples or available
    found.batch = found.batch or (10 if is_line else 64)
    if found.samples > available:
        parser.error(f"--samples {found.samples}: {found.model} has {available}")
    if is_line and found.until is not None:
        parser.error(f"--until {found.until:g}: line has no accuracy; leave --until out")
    if not is_line and not found.data:
        parser.error(f"--model {found.model} needs --data, the folder that holds MNIST/raw")
    return Options(**vars(found))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def _raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def _content(folder: Path, name: str) -> bytes:
    file = _raw(folder) / name
    return file.read_bytes() if file.exists() else gzip.decompress(file.with_name(f"{name}.gz").read_bytes())


def _idx(content: bytes) -> np.ndarray:
    zeros, dtype, num_dims = struct.unpack(">HBB", content[:4])
    assert (zeros, dtype) == (0, 8), "not an idx file of unsigned bytes"
    shape = struct.unpack(f">{num_dims}I", content[4 : 4 + 4 * num_dims])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_dims).reshape(shape)


def _normalised(images: np.ndarray) -> np.ndarray:
    return (images[:, None].astype(np.float32) / 255 - MEAN) / STD  # (samples, 1, 28, 28)
