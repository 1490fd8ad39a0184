"""Build everything a run trains with from its config."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig
from torch import nn

from trainer.build import parts
from trainer.build.metrics import TODAY, metrics
from trainer.build.parts import Look, Parts
from trainer.build.update import update, warnings
from trainer.engine.clock import Clock
from trainer.engine.loop import Batch, Shortcut
from trainer.engine.meter import Best, Meter
from trainer.engine.searched import SearchedUpdate
from trainer.engine.update import Update
from trainer.metrics.names import Meaning
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


def assemble(cfg: DictConfig, meaning: Meaning = TODAY, look: Look | None = None) -> TrainingParts:
    """Build all parts of a config; `meaning` is what names of metrics stood for when the run started.

    `look` may add notes on the data.

    Raises:
        DltrainError: anything the user can fix.
    """
    base = parts.assemble(cfg, look)
    train_meter, meter, best = metrics(cfg, base.spec, base.data.train.targets, meaning)
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
