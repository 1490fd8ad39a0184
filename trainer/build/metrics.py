"""Build the metrics of a run from its config: those that are measured, and the one that picks the best epoch."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from trainer.config.keys import literals
from trainer.config.targets import arguments_of, component
from trainer.data.tensors import DataSpec
from trainer.engine.meter import Best, Meter
from trainer.errors import ConfigError, nearest
from trainer.metrics.built_in import METRICS
from trainer.metrics.classes import cut_at
from trainer.metrics.names import HIGHER_IS_BETTER, Meaning, available, defaults
from trainer.metrics.own import Own
from trainer.metrics.sums import Metric, Sums, exact

TODAY = Meaning()
SAMPLE = 256  # examples that a metric of the user's own is tried on


def metrics(cfg: DictConfig, spec: DataSpec, targets: Tensor, meaning: Meaning = TODAY) -> tuple[Meter, Meter, Best]:
    """Return the meters for training and for evaluation, and the tracker of the best epoch.

    `targets` are those of the training split, and `meaning` is what names stood for when the run started.

    Raises:
        ConfigError: a metric is unknown, for another task or raises an error, or the monitor is not measured.
    """
    valid = available(spec.task, spec.out_features)
    given: Any = OmegaConf.to_object(cfg.metrics) if OmegaConf.is_config(cfg.metrics) else cfg.metrics
    if isinstance(given, dict):
        raise ConfigError("metrics: expected names or a list, as in metrics=[auto,{_target_:mymodule.myfunction}]")
    measured: dict[str, Metric] = {}
    directions: dict[str, bool | None] = {**HIGHER_IS_BETTER}
    for entry in given if isinstance(given, list) else [given]:
        if isinstance(entry, dict) or "." in str(entry):
            name, measured[name], directions[name] = _own(entry, {*measured, *directions})
            _try(measured[name], spec, targets)
            continue
        for name in defaults(spec.task, spec.out_features, meaning) if entry == "auto" else [_today(entry, meaning)]:
            if name not in valid:
                raise ConfigError(f"metrics: {name!r} is not available for {spec.task}; {nearest(name, valid)}")
            measured[name] = METRICS[name]()
    monitor = next(iter(measured), "loss") if cfg.monitor == "auto" else _today(cfg.monitor, meaning)
    if monitor not in ("loss", *measured):
        if monitor not in valid:
            raise ConfigError(f"monitor={monitor} is not measured; {nearest(monitor, ['loss', *valid, *measured])}")
        measured[monitor] = METRICS[monitor]()
    if directions[monitor] is None:
        raise ConfigError(
            f"monitor={monitor}: it does not say which values are better; add {monitor}.higher_is_better = True, or "
            "False, where it is defined"
        )
    cut_at(measured.values(), spec.threshold)
    in_units = spec.in_units if spec.task == "regression" else None
    # Others need all examples: expensive for the large split, and training outputs come from changing weights.
    streaming: dict[str, Metric] = {name: METRICS[name]() for name, m in measured.items() if isinstance(m, Sums)}
    best = Best(monitor, bool(directions[monitor]), [*measured], meaning.breaks_ties)
    cut_at(streaming.values(), spec.threshold)
    return Meter(streaming, in_units), Meter(measured, in_units), best


def _today(name: object, meaning: Meaning) -> str:
    return meaning.f1 if name == "f1" else str(name)


def _own(entry: Any, taken: set[str]) -> tuple[str, Own, bool | None]:
    """Return the name of a metric of the user's own, itself, and whether higher values are better, if it says so."""
    node = OmegaConf.create({"metrics": literals(entry if isinstance(entry, dict) else {"_target_": str(entry)})})
    call, given = arguments_of(node, "metrics")
    target, name = f"{call.__module__}.{call.__name__}", call.__name__
    if name in taken:
        raise ConfigError(f"metrics: {target}: another metric is called {name} too; rename it")
    made: Callable[..., Any] = partial(call, **given) if inspect.isfunction(call) else component(node, "metrics")
    return name, Own(target, made), getattr(call if inspect.isfunction(call) else made, "higher_is_better", None)


def _try(metric: Metric, spec: DataSpec, targets: Tensor) -> None:
    """Compute a metric of random outputs for some targets, so that a mistake stops a run before it trains."""
    some = targets[torch.linspace(0, len(targets) - 1, min(SAMPLE, len(targets))).long().to(targets.device)]
    outputs = torch.randn(len(some), spec.out_features, generator=torch.Generator().manual_seed(0)).to(some.device)
    if spec.task == "regression":
        outputs, some = spec.in_units(exact(outputs)), spec.in_units(exact(some))
    metric.update(outputs, some)
    metric.compute()
    metric.reset()
