"""Build everything a run trains with from its config."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainer.build import parts
from trainer.build.parts import Look, Parts
from trainer.build.update import update, warnings
from trainer.data.tensors import DataSpec
from trainer.engine.clock import Clock
from trainer.engine.loop import Batch, Shortcut
from trainer.engine.meter import Best, Meter
from trainer.engine.searched import SearchedUpdate
from trainer.engine.update import Update
from trainer.errors import ConfigError, nearest
from trainer.metrics import METRICS, OF_TASK, ON_REQUEST, Metric
from trainer.optim.search import Search


@dataclass(frozen=True)
class TrainingParts(Parts):
    """Everything a run trains with."""

    train_meter: Meter
    meter: Meter  # for validation and test
    best: Best
    update: Update
    search: SearchedUpdate | None  # if the optimizer is a search
    total_steps: int  # updates of the whole run
    warnings: list[str]

    @property
    def for_saver(self) -> tuple[nn.Module, Update, Meter, Best]:
        """The parts that change during training."""
        return self.model, self.update, self.train_meter, self.best

    def for_fit(self, watched: Callable[[Iterable[Batch]], Iterable[Batch]]) -> tuple[Any, ...]:
        """Return the first arguments of `fit`, with `watched` validation batches."""
        meters = self.train_meter, self.meter
        return self.model, self.loss, self.data.train, watched(self.data.val), self.update, meters


def assemble(cfg: DictConfig, f1: str = "f1", look: Look | None = None) -> TrainingParts:
    """Build all parts of a config; `f1` is today's name of what `f1` was when the run started.

    `look` may add notes on the data.

    Raises:
        DltrainError: anything the user can fix.
    """
    base = parts.assemble(cfg, look)
    train_meter, meter, best = metrics(cfg, base.spec, f1)
    steps_per_epoch = math.ceil(len(base.data.train) / cfg.accumulate)
    total_steps = int(min(cfg.epochs * steps_per_epoch, cfg.max_steps))
    made = update(cfg, base.model, total_steps, base.scaler)
    search = None
    if isinstance(made.optimizer, Search):
        search = SearchedUpdate(base.model, base.loss, made, base.autocast, train_meter.update, base.sample)
    return TrainingParts(
        **vars(base),
        train_meter=train_meter,
        meter=meter,
        best=best,
        update=made,
        search=search,
        total_steps=total_steps,
        warnings=warnings(made, steps_per_epoch),
    )


def shortcut(cfg: DictConfig, made: TrainingParts, clock: Clock, say: Callable[[str], None]) -> Shortcut:
    """Return the alternative to the loop's own update: a search, a compiled update, or none.

    With `compile` the update keeps its tensors from here on, so restore a checkpoint first.
    """
    if made.search:
        return made.search
    if cfg.compile and (made.update.reevaluates or made.update.is_scaled):
        made.model.compile()  # an update that re-evaluates the loss, or may be skipped, is not one graph
    elif cfg.compile:
        from trainer.engine.compiled import CompiledUpdate  # imports torch's compiler

        return CompiledUpdate(made.model, made.loss, made.update, made.autocast, made.train_meter.update, clock, say)
    return Shortcut()


def metrics(cfg: DictConfig, spec: DataSpec, f1: str = "f1") -> tuple[Meter, Meter, Best]:
    """Return the meters for training and for evaluation, and the tracker of the best epoch; `f1` as for `assemble`.

    Raises:
        ConfigError: a metric is unknown or for another task, or the monitor is not measured.
    """
    fitting = [*OF_TASK[spec.task], *(["top5"] if spec.out_features > 10 else [])]
    given: Any = OmegaConf.to_object(cfg.metrics) if OmegaConf.is_config(cfg.metrics) else [cfg.metrics]
    names = [str(name) for name in given]
    names = fitting if names == ["auto"] else names
    names = [f1 if name == "f1" else name for name in names]
    valid = [*fitting, *ON_REQUEST.get(spec.task, ())]
    for name in names:
        if name not in valid:
            raise ConfigError(f"metrics: {name!r} is not available for {spec.task}; {nearest(name, valid)}")
    monitor = (names or ["loss"])[0] if cfg.monitor == "auto" else f1 if cfg.monitor == "f1" else cfg.monitor
    if monitor not in ("loss", *names):
        raise ConfigError(f"monitor={monitor} is not measured; {nearest(monitor, ['loss', *names])}")

    def meter(names: list[str]) -> Meter:
        made: dict[str, Metric] = {name: METRICS[name]() for name in names}
        return Meter(made, spec.in_units if spec.task == "regression" else None)

    # AUC sorts all examples: expensive for the large split, and training outputs come from changing weights.
    streaming = [name for name in names if name != "auc"]
    higher_is_better = monitor != "loss" and METRICS[monitor].higher_is_better
    return meter(streaming), meter(names), Best(monitor, higher_is_better, names)
