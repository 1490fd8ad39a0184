"""Turn configs into objects: the only file that calls what a config names, and only what a slot allows.

A `_target_` is looked up in the slot's own modules or in a module of the working folder. The object found is judged by
its type and the module that defines it, not by the name that led to it: `mynet.os.system` is `posix.system`, and
refused.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from trainer.config.keys import PATHS
from trainer.config.user_modules import allow, file_of
from trainer.errors import ConfigError, DltrainError, is_out_of_memory, nearest, reason
from trainer.files import expanded

MODULES = {  # slot -> where its targets may be defined, besides the working folder
    "data": ("trainer.data",),
    "model": ("trainer.models", "torchvision.models"),
    "loss": ("trainer.losses", "torch.nn", "trainer.models.scratch"),
    "optim": ("trainer.optim", "torch.optim"),
    "scheduler": ("trainer.schedules", "torch.optim.lr_scheduler"),
    "metrics": (),  # one of the user's own
}
METHODS = ("reset", "update", "compute")  # of a metric that is a class
ROOTS = ("trainer", "torch", "torchvision")  # of these modules
LOADER_KEYS = ("batch_size", "balance")  # keys of the data node for the loader, not the dataset


@cache
def _classes() -> dict[str, type | tuple[type, ...]]:
    """Map slots to the required base class; functions are fine too, except as an optimizer."""
    import torch
    from torch import nn

    from trainer.schedules import Schedule

    schedulers = (torch.optim.lr_scheduler.LRScheduler, Schedule)
    return {"model": nn.Module, "loss": nn.Module, "optim": torch.optim.Optimizer, "scheduler": schedulers}


@cache
def _known() -> dict[str, set[str]]:
    """Map slots to arguments that the run provides, so that no config can set them."""
    from trainer.data.tensors import DataSpec

    return {
        "data": {"seed", "fold"},
        "model": {"spec", *(f.name for f in fields(DataSpec))},
        "loss": {"task", "class_counts"},
        "optim": {"params"},
        "scheduler": {"optimizer", "total_steps"},
        "metrics": {"outputs", "targets"},
    }


def locate(slot: str, target: Any) -> Callable[..., Any]:
    """Return the class or function that `target` names, if the slot allows it.

    Raises:
        ConfigError: it does not exist or is not allowed. Modules that are not allowed are not imported.
        CheckpointError: it is a module of the working folder, named by a stranger's run.
    """

    def belongs(module: str) -> bool:
        return f"{module}.".startswith(tuple(f"{root}." for root in MODULES[slot])) or bool(file_of(module))

    refusal = ConfigError(
        f"{slot}._target_={target}: must come from {', '.join(MODULES[slot])}{' or ' * bool(MODULES[slot])}"
        f"a module in {Path.cwd()}"
    )
    words = target.split(".") if isinstance(target, str) else []
    if len(words) < 2 or not all(word.isidentifier() and not word.startswith("_") for word in words):
        raise refusal
    module = ".".join(words[:-1])
    own = Path.cwd() / f"{words[0]}.py"
    if own.is_file() and words[0] not in ROOTS and not file_of(words[0]):
        raise ConfigError(f"{slot}._target_={target}: another module is called {words[0]} too; rename {own}")
    if not belongs(module) and not file_of(words[0]):
        raise refusal
    allow(target)
    try:
        found = getattr(importlib.import_module(module), words[-1])
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{slot}._target_={target}: cannot be imported: {type(error).__name__}: {error}") from error
    if inspect.isclass(found) and slot == "metrics":
        fits = all(hasattr(found, name) for name in METHODS)
    elif inspect.isclass(found):
        fits = slot in _classes() and issubclass(found, _classes()[slot])
    else:
        fits = inspect.isfunction(found) and found.__qualname__ == found.__name__ and slot != "optim"
    if not fits or not belongs(found.__module__):
        raise refusal
    return found


def parameters_of(slot: str, target: Any) -> list[str]:
    """Return the names of a component's arguments that a config can set."""
    names = [name for name in inspect.signature(locate(slot, target)).parameters if name not in _known()[slot]]
    return [*names, *LOADER_KEYS] if slot == "data" else names


def default_of(slot: str, target: Any, name: str) -> Any:
    """Return the default of a component's argument, a tuple as a list; Parameter.empty if there is none."""
    parameter = inspect.signature(locate(slot, target)).parameters.get(name)
    default = parameter.default if parameter else inspect.Parameter.empty
    return list(default) if isinstance(default, tuple) else default


def arguments_of(cfg: DictConfig, slot: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the slot's target and its arguments from the config.

    Raises:
        ConfigError: an argument is missing or unknown.
    """
    try:
        node: Any = OmegaConf.to_container(cfg[slot], resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} is required; set {error.full_key}=...") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{slot}: {str(error).splitlines()[0]}") from error
    target = node.pop("_target_", None)
    _refuse_nested(slot, node)
    call = locate(slot, target)
    names = parameters_of(slot, target)
    for key, value in node.items():
        if key not in names and not _takes_any(call):
            raise ConfigError(f"{slot}.{key}={value}: {target} has no such argument; {nearest(str(key), names)}")
    return call, node


def _refuse_nested(path: str, node: Any) -> None:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if str(key).startswith("_"):
            what = f"{path}.{key}={value}"
            raise ConfigError(f"{what}: parts cannot be nested; keys that start with _ are not allowed")
        _refuse_nested(f"{path}.{key}", value)


def _takes_any(call: Callable[..., Any]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(call).parameters.values())


def component(cfg: DictConfig, slot: str, **known: Any) -> Any:
    """Call the slot's target with its arguments from the config and those of `known` that it takes.

    Raises:
        ConfigError: an argument that the target does not have, or a value that it refuses.
    """
    call, given = arguments_of(cfg, slot)
    names = [*inspect.signature(call).parameters, *(["num_classes"] if _takes_any(call) else [])]  # as in torchvision
    given = {key: value for key, value in given.items() if slot != "data" or key not in LOADER_KEYS}
    try:
        if slot == "data":
            given = {k: expanded(v) if f"data.{k}" in PATHS and isinstance(v, str) else v for k, v in given.items()}
        given = {key: value for key, value in known.items() if key in names} | given
        if slot == "optim":
            from trainer.optim._plain import create

            return create(call, **given)  # type: ignore[arg-type]
        return call(**given)
    except (DltrainError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        told = f", given {given}" if isinstance(error, TypeError) else ""
        raise ConfigError(f"{slot}: {call.__name__}: {reason(error)}{told}") from error
