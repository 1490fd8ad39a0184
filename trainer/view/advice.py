"""One piece of advice at the end of a run, from what was measured in it."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import torch
from omegaconf import DictConfig
from torch import nn

from trainer.engine.loop import Batch, Loss, full

WORTH_ADVICE = 10.0  # seconds of training: who has waited less wants none, and a trial takes a few steps
WORTH_IT = 1.2  # times as fast
SMALL = 500e-6  # seconds: an update that is mostly calls
WORTH_COMPILING = 60.0  # seconds of training: to compile takes 10 to 30


def advice(
    cfg: DictConfig,
    seconds: Mapping[str, float],
    num_updates: int,
    epochs: int,
    model: nn.Module,
    loss: Loss,
    train: Iterable[Batch],
) -> str:
    """What would make most of a run like this faster; empty where nothing stands out, or it was short.

    A number format is advised only after a trial of it on a batch, with copies of the model.
    """
    total = sum(seconds.values())
    if total < WORTH_ADVICE:
        return ""
    share = {part: spent / total for part, spent in seconds.items()}
    workers = cfg.data.get("workers")
    if share["data"] > 0.25 and workers is not None:
        cores = os.cpu_count() or 1
        more = f"data.workers={cores}" if workers < cores else "a smaller data.size"
        return f"the model waits for images {100 * share['data']:.0f} % of the time: {more} would help"
    if share["checkpoints"] > 0.1:
        return f"checkpoints take {100 * share['checkpoints']:.0f} %: a longer checkpoint.min_seconds would help"
    if share["logging"] > 0.1 and num_updates > cfg.log_every * epochs:  # else it is what each epoch writes
        return f"logging takes {100 * share['logging']:.0f} %: log_every={10 * cfg.log_every} would help"
    if share["evaluation"] > 0.4:
        return f"evaluation takes {100 * share['evaluation']:.0f} %: a smaller data.val_fraction would help"
    update = sum(seconds[part] for part in ("data", "forward", "backward", "update")) / max(1, num_updates)
    if update < SMALL and not cfg.compile:
        cures = [f"data.batch_size={8 * cfg.data.batch_size}"] if cfg.data.batch_size != "full" else []
        cures += ["compile=true"] if total > WORTH_COMPILING else []
        if cures:
            return f"an update takes {1e6 * update:.0f} us, most of it calls: {' or '.join(cures)} makes more of each"
    is_plain = cfg.precision == "fp32" and next(model.parameters()).is_cpu
    if is_plain and any(isinstance(layer, nn.Conv2d) for layer in model.modules()):
        gain = 0.0
        with contextlib.suppress(Exception):  # a model that cannot do it is no reason for a run to fail at its end
            gain = _gain_in_16_bits(model, loss, next(iter(train)))
        if gain > WORTH_IT:
            return f"precision=bf16 takes a step {gain:.1f} times as fast here, tried on one batch"
    return ""


def _gain_in_16_bits(model: nn.Module, loss: Loss, batch: Batch) -> float:
    """How much faster forward and backward are with bf16 and the channels last."""
    inputs, targets = batch
    layout = torch.channels_last
    contenders: list[tuple[nn.Module, torch.Tensor, AbstractContextManager]] = [
        (copy.deepcopy(model).train(), inputs, nullcontext()),
        (
            copy.deepcopy(model).train().to(memory_format=layout),
            inputs.to(memory_format=layout),
            torch.autocast("cpu", dtype=torch.bfloat16),
        ),
    ]
    with torch.random.fork_rng(devices=[]):
        times = [[_step_s(net, loss, x, targets, autocast) for net, x, autocast in contenders] for _ in range(4)]
    return median(plain / short for plain, short in times[1:])


def _step_s(
    model: nn.Module, loss: Loss, inputs: torch.Tensor, targets: torch.Tensor, autocast: AbstractContextManager
) -> float:
    start = time.perf_counter()
    with autocast:
        outputs = model(inputs)
    loss(full(outputs), targets).backward()
    return time.perf_counter() - start
