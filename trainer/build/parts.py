"""Build the parts that a run computes with from its config, finished and on the device."""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.amp import GradScaler

from trainer.build.update import check_optimizer
from trainer.config.schema import FITTING, SLOTS
from trainer.config.targets import arguments_of, component
from trainer.data.augment import Augment
from trainer.data.division import Fold
from trainer.data.tensors import DataSpec, Examples, Loaders, Splits
from trainer.engine.loop import Loss
from trainer.engine.numerics import choose_precision, seed_everything, settle_memory
from trainer.errors import ConfigError, is_out_of_memory, reason
from trainer.losses import auto, check_fit

EVAL_BATCH = 1000  # examples; more gain nothing on CPUs, and fewer keep activations small
EVAL_NUMBERS = 4_000_000  # limit for the inputs of such a batch: fewer examples if images are large
Look = Callable[[Splits, DataSpec], Sequence[str]]


class GreyToColour(nn.Module):
    """`(B, 1, H, W)` -> `(B, 3, H, W)`: the grey value in every channel, for models made for colour images."""

    def forward(self, images: Tensor) -> Tensor:
        """Repeat the channel."""
        return images.expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Parts:
    """Everything a model computes with; `sample` is an input of two examples, shape `(2, *in_shape)`."""

    device: torch.device
    autocast: AbstractContextManager
    scaler: GradScaler
    data: Loaders
    spec: DataSpec
    sample: Tensor
    model: nn.Module
    loss: Loss


def assemble(cfg: DictConfig, look: Look | None = None) -> Parts:
    """Seed the random generators and build the parts of a config, up to the loss; `look` may add notes on the data.

    Raises:
        DltrainError: anything the user can fix.
    """
    settle_memory()
    check(cfg)
    where = device(cfg.device)
    autocast, scaler = choose_precision(cfg.precision, where)
    seed_everything(cfg.seed, cfg.deterministic)
    loaders, spec = data(cfg, where, look)
    sample = next(iter(loaders.train))[0][:2]
    built = model(cfg, spec, sample)
    return Parts(where, autocast, scaler, loaders, spec, sample, built, loss(cfg, spec, loaders.train.targets))


def check(cfg: DictConfig) -> None:
    """Raise on mistakes that need no data to find: targets, arguments, number format."""
    for slot in SLOTS:
        arguments_of(cfg, slot)
    check_optimizer(cfg)
    choose_precision(cfg.precision, device(cfg.device))


def device(name: str) -> torch.device:
    """Return the named device; `auto` is the first CUDA device, else Apple's GPU, else the CPU.

    Raises:
        ConfigError: the name is invalid, or the device not available.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if has[kind])
    kind, _, number = name.partition(":")
    if kind not in has or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigError(f"device={name}: expected auto, cpu, cuda, cuda:1 or mps")
    if not has[kind] or (number and int(number) >= torch.cuda.device_count()):
        raise ConfigError(f"device={name} is not available; available: {', '.join(k for k in has if has[k])}")
    return torch.device(name)


def examples(cfg: DictConfig) -> tuple[Splits, DataSpec]:
    """Return what the function of the data makes.

    Raises:
        ConfigError: it is asked for folds that it does not make, or returns anything else.
    """
    if cfg.folds > 1 and "fold" not in inspect.signature(arguments_of(cfg, "data")[0]).parameters:
        cure = "add the argument fold, and hand it to from_frame or Division of trainer.data"
        raise ConfigError(f"data: {cfg.data['_target_']} does not divide into folds; {cure}")
    made = component(cfg, "data", **division(cfg))
    if not (isinstance(made, tuple) and [type(part) for part in made] == [Splits, DataSpec]):
        raise ConfigError(f"data: {cfg.data['_target_']} must return (Splits, DataSpec) of trainer.data.tensors")
    return made


def data(cfg: DictConfig, to: torch.device, look: Look | None = None) -> tuple[Loaders, DataSpec]:
    """Return the loaders of the three splits, on the device, and the data's spec with the notes of `look`."""
    splits, spec = examples(cfg)
    seen = look(splits, spec) if look else ()
    size = cfg.data.batch_size
    size = len(splits.train.targets) if size == "full" else size
    if cfg.overfit_batches:
        few = splits.train.at(slice(cfg.overfit_batches * size))
        splits = replace(splits, train=few, val=few, test=few)
    spec = replace(spec, notes=(*spec.notes, *splits.stand_ins, *seen))
    if spec.task != "binary" and (cfg.threshold != 0.5 or cfg.miss_cost):
        raise ConfigError(
            f"threshold={cfg.threshold} miss_cost={cfg.miss_cost:g}: only for two classes, not {spec.task}"
        )
    if spec.task == "regression" and cfg.calibrate not in ("off", False):
        raise ConfigError(f"calibrate={cfg.calibrate}: a regression has no probabilities")
    if cfg.threshold != "auto":
        spec = replace(spec, threshold=float(cfg.threshold))
    if cfg.precision == "fp64":
        train, val, test = map(in_double, (splits.train, splits.val, splits.test))
        splits = replace(splits, train=train, val=val, test=test)
    balance = cfg.data.get("balance", False)
    if type(balance) is not bool or (balance and spec.task == "regression"):
        raise ConfigError(f"data.balance={balance}: expected true or false, and true only for data with classes")
    common: dict[str, Any] = {"prepare": layout(cfg, spec, splits.prepare), "device": to, "limit": cfg.limit_batches}
    drawn = {"shuffle": True, "seed": cfg.seed, "balance": balance, "augment": augmentation(cfg, spec)}
    loaders = Loaders(
        train=splits.loader(splits.train, size, **drawn, **common),
        val=splits.loader(splits.val, eval_size(spec, size), **common),
        test=splits.loader(splits.test, eval_size(spec, size), **common),
    )
    return loaders, spec


def division(cfg: DictConfig) -> dict[str, Any]:
    """Return the arguments of a dataset that say how it is divided: its seed and, in cross-validation, its fold."""
    number = max(1, cfg.fold) - 1
    fold = Fold(number % cfg.folds, cfg.folds, number // cfg.folds) if cfg.folds > 1 else None
    return {"seed": cfg.seed if cfg.split_seed is None else cfg.split_seed, "fold": fold}


def eval_size(spec: DataSpec, batch_size: int) -> int:
    """Return the number of examples in an evaluation batch."""
    return max(batch_size, min(EVAL_BATCH, EVAL_NUMBERS // math.prod(spec.in_shape)))


def layout(cfg: DictConfig, spec: DataSpec, prepare: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return `prepare` followed by a conversion to the model's dtype and memory format."""
    wanted: dict[str, Any] = {}
    if _has_channels_last(cfg) and spec.kind == "image":
        wanted["memory_format"] = torch.channels_last
    if cfg.precision == "fp64" and spec.kind != "tokens":
        wanted["dtype"] = torch.float64
    return (lambda inputs: prepare(inputs).to(**wanted)) if wanted else prepare


def _has_channels_last(cfg: DictConfig) -> bool:
    """Return whether images are channels-last; in 16 bits it saves up to a third of a convolution, on any device."""
    return cfg.precision in ("bf16", "fp16") if cfg.channels_last == "auto" else bool(cfg.channels_last)


def augmentation(cfg: DictConfig, spec: DataSpec) -> Augment | None:
    """Return the augmentation of training batches, if any.

    Raises:
        ConfigError: it does not apply to this kind of data.
    """
    asked = {key: value for key, value in cfg.augment.items() if value}
    known = {"image": set(cfg.augment), "features": {"noise", "mixup"}, "tokens": set()}[spec.kind]
    for key in asked.keys() - known:
        raise ConfigError(f"augment.{key}={asked[key]} does not apply to {spec.kind}; use augment.{key}=0")
    num_classes = spec.out_features if spec.task == "multiclass" else 0
    return Augment(seed=cfg.seed, num_classes=num_classes, **asked) if asked else None


def in_double(examples: Examples) -> Examples:
    """Convert floating-point targets to double precision."""
    targets = examples.targets
    return examples._replace(targets=targets.double() if targets.is_floating_point() else targets)


def model(cfg: DictConfig, spec: DataSpec, sample: Tensor) -> nn.Module:
    """Return the model for this data, on the sample's device, tried on `sample`, shape `(2, *in_shape)`.

    Raises:
        ConfigError: the model does not fit the data.
    """
    known = {"spec": spec, "num_classes": spec.out_features, **{f.name: getattr(spec, f.name) for f in fields(spec)}}
    name = cfg.model["_target_"]
    reads = ("image",) if name.startswith("torchvision.") else getattr(arguments_of(cfg, "model")[0], "reads", FITTING)
    if spec.kind not in reads:
        raise ConfigError(
            f"model: {name} reads {' or '.join(reads)}, and this data has {spec.kind} of shape {spec.in_shape}; "
            f"use model={FITTING[spec.kind]}"
        )
    built = component(cfg, "model", **known)
    if name.startswith("torchvision.") and len(spec.in_shape) == 3 and spec.in_shape[0] == 1:
        built = nn.Sequential(GreyToColour(), built)
    if not isinstance(built, nn.Module):
        raise ConfigError(f"model: {name} made a {type(built).__name__}, expected a torch.nn.Module")
    built = built.to(sample.device, torch.float64 if cfg.precision == "fp64" else None)
    if _has_channels_last(cfg):
        built = built.to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            outputs = built.eval()(sample)
            # A copy, because a pass in training mode moves batch norm's statistics.
            trained = copy.deepcopy(built).train()(sample[: 1 if cfg.data.batch_size == 1 else 2])
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigError(f"model: {name} does not read inputs of shape {spec.in_shape}: {reason(error)}") from error
    for found in (outputs, trained):
        shape = tuple(found.shape[1:]) if isinstance(found, Tensor) else type(found).__name__
        if shape != (spec.out_features,):
            raise ConfigError(f"model: {name} returns {shape} per example; this data needs ({spec.out_features},)")
    return built


def loss(cfg: DictConfig, spec: DataSpec, targets: Tensor) -> Loss:
    """Return the loss, a mean over examples, tried on two `targets` of the training split.

    Raises:
        ConfigError: the loss does not fit the task.
    """
    call, given = arguments_of(cfg, "loss")
    is_itself = inspect.isfunction(call) and call is not auto
    num_classes = len(spec.class_names) or spec.out_features
    counts: Any = [] if spec.task == "regression" else torch.bincount(targets.flatten().long(), minlength=num_classes)
    sample = targets[:2]
    if cfg.augment.mixup and spec.task == "multiclass":
        sample = torch.nn.functional.one_hot(sample, spec.out_features).float()
    try:
        check_fit(call, spec.task)
        if is_itself:
            built: Loss = partial(call, **given)
        else:
            built = component(cfg, "loss", task=spec.task, class_counts=[int(n) for n in counts]).to(targets.device)
        value = built(torch.zeros(len(sample), spec.out_features, device=sample.device), sample)
        if value.shape != ():
            raise ValueError(f"it returned shape {tuple(value.shape)}, expected a single number")
    except ConfigError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigError(f"loss: {cfg.loss['_target_']}: {reason(error)}") from error
    return built
