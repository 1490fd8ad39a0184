"""Check an optimizer's saved state against the parameters that it is for, before a fused kernel writes to it."""

from collections.abc import Mapping
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

SCALARS = ("step", "mu_product", "eta", "mu")  # one number per parameter; other tensors have the parameter's shape
OTHERWISE = ("LBFGS", "Adafactor")  # optimizers whose state has shapes of its own, read by Python code alone


def names(model: nn.Module) -> list[str]:
    """Return the names of a model's parameters in order: an optimizer knows them by their place."""
    return [name for name, _ in model.named_parameters()]


def fitting(saved: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return the state with every tensor laid out like the parameter that it belongs to.

    Raises:
        ValueError: a shape, a type or a number of parameters that does not fit, and where.
        KeyError: something is missing.
    """
    present = optimizer.state_dict()["param_groups"]
    parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
    if [len(group["params"]) for group in saved["param_groups"]] != [len(group["params"]) for group in present]:
        raise ValueError("the optimizer has another number of parameters")
    for group, expected in zip(saved["param_groups"], present, strict=True):
        for name in group.keys() & expected.keys():  # another version of torch may know others
            found, value = group[name], expected[name]
            if found is not None and value is not None and _kind(found) != _kind(value):
                raise ValueError(f"{name} of the optimizer is {found!r}, expected something like {value!r}")
    is_plain = type(optimizer).__name__ not in OTHERWISE
    state = {}
    for place, values in saved["state"].items():
        of = parameters[place]
        state[place] = {name: _laid_out(name, value, of) if is_plain else value for name, value in values.items()}
    return {**saved, "state": state}


def _kind(value: Any) -> Any:
    """Return what a setting may be replaced by: any number counts as another, a tensor of one too."""
    if isinstance(value, (tuple, list)):
        return [_kind(item) for item in value]
    is_number = isinstance(value, Number) or (isinstance(value, Tensor) and value.ndim == 0)
    return "number" if is_number and not isinstance(value, bool) else type(value)


def _laid_out(name: str, value: Any, parameter: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    expected = () if name in SCALARS else parameter.shape
    if value.shape != expected or not value.is_floating_point():
        found = f"{value.dtype}".removeprefix("torch.")
        raise ValueError(f"{name} is {found} of shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")
    return value.clone() if name in SCALARS else torch.empty_like(parameter, dtype=value.dtype).copy_(value)
