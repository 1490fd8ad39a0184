"""Datasets of three points, small enough to check by hand (Liu, PyTorch course, 2019)."""

from __future__ import annotations

import torch

from trainer.data._table.encoder import Target, as_it_is
from trainer.data.tensors import DataSpec, Examples, Splits


def line() -> tuple[Splits, DataSpec]:
    """Return the points (1, 2) (2, 4) (3, 6) on the line w = 2, b = 0: inputs and targets `(3, 1)`, unscaled."""
    spec = DataSpec(
        "regression",
        (1,),
        feature_names=("x",),
        target_name="y",
        true_parameters={"w": [2.0], "b": [0.0]},
        encoder=as_it_is(["x"], Target("y", "regression")),
    )
    return _everywhere([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), spec


def hours() -> tuple[Splits, DataSpec]:
    """Return hours of study 1, 2, 3 -> failed, failed, passed: inputs and targets `(3, 1)`, unscaled."""
    spec = DataSpec(
        "binary",
        (1,),
        class_names=("failed", "passed"),
        feature_names=("hours",),
        target_name="result",
        encoder=as_it_is(["hours"], Target("result", "binary", ("failed", "passed"))),
    )
    return _everywhere([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]), spec


def _everywhere(inputs: list[float], targets: list[float]) -> Splits:
    """Use all points in each split: there are too few to divide."""
    points = Examples(torch.tensor(inputs)[:, None], torch.tensor(targets)[:, None])
    return Splits(points, points, points)
