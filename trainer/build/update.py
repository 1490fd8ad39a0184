"""Build what changes the weights: optimizer, schedule and update."""

import inspect
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from trainer.config.targets import arguments_of, component
from trainer.engine.update import Scheduler, Update
from trainer.errors import ConfigError, reason
from trainer.optim.search import Search

FULL_BATCH = (torch.optim.LBFGS, torch.optim.Rprop)


def check_optimizer(cfg: DictConfig) -> None:
    """Try a step of the config's optimizer and schedule on a weight made for it.

    Raises:
        ConfigError: one of their settings is invalid.
    """
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    optimizer = component(cfg, "optim", params=[weight])
    schedule(cfg, optimizer, total_steps=100)
    try:
        if not isinstance(optimizer, Search):  # a search has checked its settings already
            optimizer.step(lambda: weight.sum())
    except Exception as error:
        raise ConfigError(f"optim: {cfg.optim['_target_']}: {reason(error)}") from error


def schedule(cfg: DictConfig, optimizer: torch.optim.Optimizer, total_steps: int) -> Scheduler:
    """Return the scheduler of a run of `total_steps` updates."""
    made = component(cfg, "scheduler", optimizer=optimizer, total_steps=total_steps, T_max=total_steps)
    if isinstance(made, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ConfigError("scheduler: ReduceLROnPlateau needs a metric at each step; use scheduler=plateau")
    return made


def update(cfg: DictConfig, model: nn.Module, total_steps: int, scaler: torch.amp.GradScaler) -> Update:
    """Return the update, with the config's optimizer and schedule."""
    optimizer = component(cfg, "optim", params=_groups(cfg, model), **_fastest(cfg, model))
    scheduler = schedule(cfg, optimizer, total_steps)
    try:
        return Update(model, optimizer, scheduler, scaler=scaler, accumulate=cfg.accumulate, clip=cfg.clip, ema=cfg.ema)
    except ValueError as error:
        raise ConfigError(f"optim: {error}") from error


def _groups(cfg: DictConfig, model: nn.Module) -> list[Any]:
    """Return the parameters; with weight decay, biases and norms form a group of their own without it."""
    call, given = arguments_of(cfg, "optim")
    signature = inspect.signature(call).parameters
    decay = given.get("weight_decay", signature["weight_decay"].default if "weight_decay" in signature else 0)
    parameters = list(model.parameters())
    if not decay:
        return parameters
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _fastest(cfg: DictConfig, model: nn.Module) -> dict[str, bool]:
    """Return the arguments for torch's fastest implementation of the optimizer, unless the config chooses one.

    The fused one takes a third of the others' time. Plain gradient descent is one operation per parameter in any case,
    and on a CPU the Python loop has the least overhead.
    """
    call, given = arguments_of(cfg, "optim")
    known = inspect.signature(call).parameters
    kind = next((parameter.device.type for parameter in model.parameters()), "none")
    if {"foreach", "fused", "differentiable"} & given.keys():
        return {}
    if kind == "cuda":  # Adagrad's fused one is for CPUs; a graph can have what is on the GPU alone
        wanted = {"fused": call is not torch.optim.Adagrad, "capturable": bool(cfg.compile)}
        return {key: True for key, on in wanted.items() if on and key in known.keys() - given.keys()}
    is_plain = call is torch.optim.SGD and not given.get("momentum")
    if kind != "cpu" or not {"foreach", "fused"} <= known.keys():
        return {}
    return {"foreach": False} if cfg.compile or is_plain else {"fused": True}


def warnings(update: Update, steps_per_epoch: int) -> list[str]:
    """Return warnings about what is allowed, but seldom meant."""
    name = type(update.optimizer).__name__
    if isinstance(update.optimizer, FULL_BATCH) and steps_per_epoch > 1:
        return [f"warning: {name} compares successive gradients, and mini-batches differ; use data.batch_size=full"]
    if isinstance(update.optimizer, Search) and steps_per_epoch > 1:
        return [f"warning: {name} keeps the weights that are best for a single mini-batch; use data.batch_size=full"]
    return []
