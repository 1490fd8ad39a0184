"""Linear and logistic regression: one linear map of the flattened input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from trainer.data.tensors import DataSpec


class Linear(nn.Module):
    """`(B, *in_shape)` -> `(B, out_features)`: y = Wx + b."""

    reads = ("features", "image")

    def __init__(self, in_shape: tuple[int, ...], out_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(in_shape), out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return values or, for classes, logits."""
        return self.layer(inputs.flatten(1))

    def learned(self, spec: DataSpec) -> dict[str, list[float]]:
        """Return weights `w` and intercept `b` in the units of the file, for one output of named features."""
        if spec.out_features != 1 or not spec.feature_names:
            return {}
        w, b = self.layer.weight.detach().cpu().double()[0], self.layer.bias.detach().cpu().double()[0]
        if spec.feature_mean is not None and spec.feature_std is not None:
            w = w / spec.feature_std.double()
            b = b - w @ spec.feature_mean.double()
        w, b = w * spec.target_std, b * spec.target_std + spec.target_mean
        return {"w": w.tolist(), "b": [float(b)]}


class Logistic(Linear):
    """The linear map for classes; the sigmoid or softmax is in the loss.

    It starts at zero, where all classes are equally likely; the loss is convex, so no start is better.

    Raises:
        ValueError: the task is regression.
    """

    def __init__(self, in_shape: tuple[int, ...], out_features: int, task: str) -> None:
        if task == "regression":
            raise ValueError("logistic regression predicts classes, and this data is regression; use model=linear")
        super().__init__(in_shape, out_features)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
