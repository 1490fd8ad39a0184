"""Datasets of three points, small enough to check by hand (Liu, PyTorch course, 2019)."""

from typing import Any

import torch

from trainer.data._table.encoder import Target, as_it_is
from trainer.data.tensors import DataSpec, Examples, Splits


def line() -> tuple[Splits, DataSpec]:
    """Return the points (1, 2) (2, 4) (3, 6) on the line w = 2, b = 0: inputs and targets `(3, 1)`, unscaled."""
    return _three("x", Target("y", "regression"), [2.0, 4.0, 6.0], true_parameters={"w": [2.0], "b": [0.0]})


def hours() -> tuple[Splits, DataSpec]:
    """Return hours of study 1, 2, 3 -> failed, failed, passed: inputs and targets `(3, 1)`, unscaled."""
    return _three("hours", Target("result", "binary", ("failed", "passed")), [0.0, 0.0, 1.0])


def _three(feature: str, target: Target, targets: list[float], **more: Any) -> tuple[Splits, DataSpec]:
    """Pair 1, 2, 3 with the targets. All points are in each split: there are too few to divide."""
    points = Examples(torch.tensor([1.0, 2.0, 3.0])[:, None], torch.tensor(targets)[:, None])
    spec = DataSpec(
        target.task,
        (1,),
        class_names=target.class_names,
        feature_names=(feature,),
        target_name=target.name,
        encoder=as_it_is([feature], target),
        **more,
    )
    return Splits(points, points, points), spec
