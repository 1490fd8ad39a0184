"""Generated data with known parameters."""

from collections.abc import Sequence

import torch

from trainer.data._table.encoder import Target, as_it_is
from trainer.data.division import Division, Fold, tenths
from trainer.data.tensors import DataSpec, Examples, Splits, splits_of


def linear(
    *,
    w: Sequence[float] = (2.0, -3.4),
    b: float = 4.2,
    num_examples: int = 1000,
    noise: float = 0.01,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    fold: Fold | None = None,
) -> tuple[Splits, DataSpec]:
    """Generate y = Xw + b + noise, X standard normal (Zhang et al., Dive into Deep Learning, 3.2).

    Inputs have shape `(num_examples, len(w))`, targets `(num_examples, 1)`, standardised by the training split like any
    table; `noise` is a standard deviation.

    Raises:
        ValueError: no nonzero weight, fewer than 3 examples, or negative noise.
    """
    if not any(w) or num_examples < 3 or noise < 0:
        found = f"w={list(w)} num_examples={num_examples} noise={noise}"
        raise ValueError(f"{found}: expected a nonzero weight, at least 3 examples and a noise of at least 0")
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor(w, dtype=torch.float32)
    inputs = torch.randn(num_examples, len(w), generator=generator)
    targets = (inputs @ weights + b + noise * torch.randn(num_examples, generator=generator))[:, None]
    parts = Division(val_fraction, test_fraction, seed, fold).parts(
        tenths(targets) if fold else torch.zeros(len(targets))
    )
    mean, std = targets[parts[0]].mean().item(), targets[parts[0]].std(correction=0).item()
    names = tuple(f"x{i}" for i in range(1, len(w) + 1))
    spec = DataSpec(
        task="regression",
        in_shape=(len(w),),
        feature_names=names,
        target_name="y",
        target_mean=mean,
        target_std=std,
        true_parameters={"w": list(w), "b": [b]},
        encoder=as_it_is(names, Target("y", "regression", mean=mean, std=std)),
    )
    return splits_of(Examples(inputs, (targets - mean) / std), parts), spec
