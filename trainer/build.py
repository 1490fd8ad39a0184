"""From config to objects: the only file that instantiates, and only what a slot allows.

A `_target_` is looked up under the slot's own modules or in a module of the folder that the user works in, and the
object found is judged by what it is and where it was defined, not by the name that led to it: `mynet.os.system` is
`posix.system`, and refused.
"""

from __future__ import annotations

import importlib
import inspect
import os
import random
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from trainer.data.tensors import DataSpec, Examples, TensorLoader
from trainer.errors import ConfigError, nearest
from trainer.losses import auto, check_fit
from trainer.metrics import METRICS, OF_TASK, Meter, Metric
from trainer.models.adapt import GreyToColour
from trainer.precision import choose_precision
from trainer.stopping import Best
from trainer.update import Scheduler, Update

MODULES = {  # slot -> where its targets may be defined, beside the user's working folder
    "data": ("trainer.data",),
    "model": ("trainer.models", "torchvision.models"),
    "loss": ("trainer.losses", "torch.nn"),
    "optim": ("trainer.optim", "torch.optim"),
    "scheduler": ("trainer.schedules", "torch.optim.lr_scheduler"),
}
CLASSES: dict[str, type] = {  # slot -> what a class must be; plain functions are fine, but not for an optimizer
    "model": nn.Module,
    "loss": nn.Module,
    "optim": torch.optim.Optimizer,
    "scheduler": torch.optim.lr_scheduler.LRScheduler,
}
KNOWN = {  # slot -> what only the run knows, and no config can set
    "data": {"seed"},
    "model": {"spec", *(f.name for f in fields(DataSpec))},
    "loss": {"task"},
    "optim": {"params"},
    "scheduler": {"optimizer", "total_steps"},
}
LOADER_KEYS = ("batch_size",)  # of the data node, for the loader and not for the dataset
EVAL_BATCH = 1000  # examples; larger gains nothing on CPUs, and activations of the test split need not fit memory


def locate(slot: str, target: Any) -> Callable[..., Any]:
    """The class or function that `target` names, if the slot may have it.

    Raises:
        ConfigError: it does not exist, or is nothing that the slot accepts. Nothing of it has been imported then.
    """
    roots = MODULES[slot]
    refusal = ConfigError(
        f"{slot}._target_={target}: a {slot} comes from {', '.join(roots)} or a module in {Path.cwd()}"
    )
    if not isinstance(target, str) or any(
        part.startswith("_") or not part.isidentifier() for part in target.split(".")
    ):
        raise refusal
    if not target.startswith(tuple(f"{root}." for root in roots)) and not _is_user_module(target.split(".")[0]):
        raise refusal
    path, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{slot}._target_={target}: cannot be imported: {error}") from error
    home = getattr(found, "__module__", None) or ""
    if not f"{home}.".startswith(tuple(f"{root}." for root in roots)) and not _is_user_module(home):
        raise refusal
    if inspect.isclass(found):
        fits = slot in CLASSES and issubclass(found, CLASSES[slot])
    else:
        fits = inspect.isfunction(found) and found.__qualname__ == found.__name__ and slot != "optim"
    if not fits:
        raise refusal
    return found


def _is_user_module(name: str) -> bool:
    """Whether a module is a file of the working folder; the first part of a name is judged without importing it."""
    if name.split(".")[0] in ("trainer", "torch", "torchvision", ""):
        return False
    cwd = Path.cwd()
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        return file is not None and cwd in Path(file).resolve().parents and "site-packages" not in file
    return (cwd / f"{name}.py").is_file() or (cwd / name / "__init__.py").is_file()


def parameters_of(slot: str, target: Any) -> list[str]:
    """Names of the arguments of a component that a config can set."""
    names = [name for name in inspect.signature(locate(slot, target)).parameters if name not in KNOWN[slot]]
    return [*names, *LOADER_KEYS] if slot == "data" else names


def _arguments(cfg: DictConfig, slot: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The slot's target and its arguments from the config, each known to its signature."""
    try:
        node: Any = OmegaConf.to_container(cfg[slot], resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or slot} is needed: give it as {error.full_key or slot}=...") from error
    target = node.pop("_target_", None)
    _refuse_nested(slot, node)
    call = locate(slot, target)
    names = parameters_of(slot, target)
    for key, value in node.items():
        if key not in names and not _takes_any(call):
            raise ConfigError(f"{slot}.{key}={value}: {target} has no such argument; {nearest(key, names)}")
    return call, node


def _refuse_nested(path: str, node: Any) -> None:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if str(key).startswith("_"):
            raise ConfigError(f"{path}.{key}={value}: nothing is instantiated inside a component")
        _refuse_nested(f"{path}.{key}", value)


def _takes_any(call: Callable[..., Any]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(call).parameters.values())


def component(cfg: DictConfig, slot: str, **known: Any) -> Any:
    """Call the slot's target with its arguments from the config, and with what is `known` if it has a name for it.

    Raises:
        ConfigError: an argument that the target does not have, or a value that it refuses.
    """
    call, given = _arguments(cfg, slot)
    names = inspect.signature(call).parameters
    given = {key: value for key, value in given.items() if slot != "data" or key not in LOADER_KEYS}
    try:
        return call(**{key: value for key, value in known.items() if key in names} | given)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{slot}: {call.__name__}: {error}") from error


def check(cfg: DictConfig) -> None:
    """Find the mistakes that need no data, before anything is read: targets, arguments, values of an optimizer."""
    for slot in MODULES:
        _arguments(cfg, slot)
    optimizer = component(cfg, "optim", params=[nn.Parameter(torch.zeros(1))])
    schedule(cfg, optimizer, total_steps=100)
    choose_precision(cfg.precision, device(cfg.device))


def device(name: str) -> torch.device:
    """The device of that name; `auto` is the first CUDA device, else Apple's GPU, else the CPU.

    Raises:
        ConfigError: it does not exist here, or the name is none.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if has[kind])
    kind, _, number = name.partition(":")
    if kind not in has or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigError(f"device={name}: expected auto, cpu, cuda, cuda:1 or mps")
    if not has[kind] or (number and int(number) >= torch.cuda.device_count()):
        raise ConfigError(f"device={name} is not here; there are {', '.join(k for k in has if has[k])}")
    return torch.device(name)


def seed_everything(seed: int, deterministic: bool) -> None:
    """Start every random generator from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


class Loaders(NamedTuple):
    """One for each split, on the device."""

    train: TensorLoader
    val: TensorLoader
    test: TensorLoader


def data(cfg: DictConfig, to: torch.device) -> tuple[Loaders, DataSpec]:
    """Loaders of the three splits, on the device, and what the data is."""
    splits, spec = component(cfg, "data", seed=cfg.seed)
    size = cfg.data.batch_size
    size = len(splits.train.targets) if size == "full" else size
    if cfg.overfit_batches:
        few = Examples(*(part[: cfg.overfit_batches * size] for part in splits.train))
        splits = replace(splits, train=few, val=few, test=few)
    prepare = splits.prepare
    if cfg.channels_last and len(spec.in_shape) == 3:
        prepare = lambda images: splits.prepare(images).contiguous(memory_format=torch.channels_last)  # noqa: E731
    common: dict[str, Any] = {"prepare": prepare, "device": to, "limit": cfg.limit_batches}
    loaders = Loaders(
        train=TensorLoader(splits.train, size, shuffle=True, seed=cfg.seed, **common),
        val=TensorLoader(splits.val, max(size, EVAL_BATCH), **common),
        test=TensorLoader(splits.test, max(size, EVAL_BATCH), **common),
    )
    return loaders, spec


def model(cfg: DictConfig, spec: DataSpec, sample: Tensor) -> nn.Module:
    """The model for this data, on the sample's device; it has read `sample`, shape `(2, *in_shape)`, once.

    Raises:
        ConfigError: the model does not fit the data.
    """
    known = {"spec": spec, **{f.name: getattr(spec, f.name) for f in fields(spec)}}
    name = cfg.model["_target_"]
    if name.startswith("torchvision."):
        call, given = _arguments(cfg, "model")
        built = call(**{"num_classes": spec.out_features} | given)
        if spec.in_shape[0] == 1 and len(spec.in_shape) == 3:
            built = nn.Sequential(GreyToColour(), built)
    else:
        built = component(cfg, "model", **known)
    if not isinstance(built, nn.Module):
        raise ConfigError(f"model: {name} made a {type(built).__name__} and no torch.nn.Module")
    built = built.to(sample.device)
    if cfg.channels_last:
        built = built.to(memory_format=torch.channels_last)
    try:
        with torch.no_grad():
            shape = tuple(built.eval()(sample).shape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"model: {name} does not read inputs of shape {spec.in_shape}: {first}") from error
    if shape != (len(sample), spec.out_features):
        raise ConfigError(f"model: {name} gives {shape[1:]} values an example; this data needs ({spec.out_features},)")
    return built


def loss(cfg: DictConfig, spec: DataSpec) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss, a mean over examples; refused where it is known not to fit the task."""
    call, _ = _arguments(cfg, "loss")
    if inspect.isfunction(call) and call is not auto:
        return call
    built = component(cfg, "loss", task=spec.task)
    try:
        check_fit(built, spec.task)
    except ValueError as error:
        raise ConfigError(f"loss: {error}") from error
    return built


def schedule(cfg: DictConfig, optimizer: torch.optim.Optimizer, total_steps: int) -> Scheduler:
    """The scheduler, told how many updates the run will make."""
    return component(cfg, "scheduler", optimizer=optimizer, total_steps=total_steps, T_max=total_steps)


def update(cfg: DictConfig, model: nn.Module, total_steps: int, scaler: torch.amp.GradScaler) -> Update:
    """Optimizer and schedule, and all that lies between a loss and new weights."""
    optimizer = component(cfg, "optim", params=model.parameters())
    scheduler = schedule(cfg, optimizer, total_steps)
    try:
        return Update(model, optimizer, scheduler, scaler=scaler, accumulate=cfg.accumulate, clip=cfg.clip, ema=cfg.ema)
    except ValueError as error:
        raise ConfigError(f"optim: {error}") from error


def metrics(cfg: DictConfig, spec: DataSpec) -> tuple[Meter, Meter, Best]:
    """What to measure in training and in evaluation, and the judge of the best epoch.

    Raises:
        ConfigError: an unknown metric, one for another task, or a monitor that is not measured.
    """
    fitting = OF_TASK[spec.task]
    names = [cfg.metrics] if isinstance(cfg.metrics, str) else list(cfg.metrics)
    names = list(fitting) if names == ["auto"] else names
    for name in names:
        if name not in fitting:
            raise ConfigError(f"metrics: {name!r} is none of this {spec.task} data; {nearest(name, fitting)}")
    monitor = (names or ["loss"])[0] if cfg.monitor == "auto" else cfg.monitor
    if monitor not in ("loss", *names):
        raise ConfigError(f"monitor={monitor} is not measured; {nearest(monitor, ['loss', *names])}")

    def meter(names: list[str]) -> Meter:
        made: dict[str, Metric] = {name: METRICS[name]() for name in names}
        return Meter(made, spec.in_units)

    # Ranks need all examples sorted: dear for the large split, and training outputs come from changing weights.
    streaming = [name for name in names if name != "auc"]
    return (
        meter(streaming),
        meter(names),
        Best(monitor, bool(monitor != "loss" and METRICS[monitor].higher_is_better)),
    )
