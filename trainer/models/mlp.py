"""Multilayer perceptron."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda weight: nn.init.normal_(weight, std=0.01),  # as in Dive into Deep Learning
    "xavier": nn.init.xavier_uniform_,  # Glorot and Bengio 2010
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # He et al. 2015
    "zeros": nn.init.zeros_,  # shows that hidden units which start equal stay equal
}


class MLP(nn.Sequential):
    """`(B, *in_shape)` -> `(B, out_features)` through hidden layers of the given widths.

    Args:
        hidden: Units of each hidden layer.
        activation: What follows each: relu, leaky_relu, elu, gelu, silu, sigmoid or tanh.
        dropout: Probability of setting a unit to zero in training.
        batch_norm: Whether each hidden layer is normalised before its activation.
        init: Initial weights: normal, xavier, kaiming or zeros, with zero biases; default: torch's own.

    Raises:
        ValueError: unknown activation or initialisation.
    """

    reads = ("features", "image")

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: Sequence[int] = (512, 256),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        init: str = "default",
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation}: expected one of {', '.join(ACTIVATIONS)}")
        if init not in ("default", *INITIALISATIONS):
            raise ValueError(f"init={init}: expected one of default, {', '.join(INITIALISATIONS)}")
        widths = [math.prod(in_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for num_in, num_out in pairwise(widths):
            layers.append(nn.Linear(num_in, num_out))
            if batch_norm:
                layers.append(nn.BatchNorm1d(num_out))
            layers += [ACTIVATIONS[activation](), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(widths[-1], out_features))
        for layer in self if init != "default" else ():
            if isinstance(layer, nn.Linear):
                INITIALISATIONS[init](layer.weight)
                nn.init.zeros_(layer.bias)
