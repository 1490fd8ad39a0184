"""Save and restore the state of a run."""

import time
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from trainer.engine.loop import Position, Report
from trainer.engine.meter import Best, Meter
from trainer.engine.numerics import random_state, set_random_state
from trainer.engine.update import Update
from trainer.errors import CheckpointError, NumericalError, reason
from trainer.files import finite
from trainer.runs.checkpoints import Checkpoint, Store, load_weights
from trainer.runs.state import fitting, names


class Saver:
    """Holds the parts of a run that change during training, and saves them to its `store`.

    Nothing here changes between two reports of the loop, so that resuming from a checkpoint is bit-exact. `flush` is
    called before each checkpoint, so that the logs on disk reach as far. `lap` books the time spent.
    """

    def __init__(
        self,
        store: Store,
        pace: DictConfig,
        model: nn.Module,
        update: Update,
        meter: Meter,
        best: Best,
        *,
        flush: Callable[[], None],
        lap: Callable[[str], None] = lambda part: None,
    ) -> None:
        self.store, self.flush, self.lap = store, flush, lap
        # Looking these up in the config at each update would take longer than a small model's forward pass.
        self.every_s, self.every_steps, self.min_seconds = 60 * pace.every_minutes, pace.every_steps, pace.min_seconds
        self.model, self.update, self.meter, self.best = model, update, meter, best
        self.position = Position()
        self.seconds = 0.0  # of training before this process
        self.start = self.saved_at = time.monotonic()
        self.saved_step, self.saved_position = 0, Position()
        self.best_step, self.best_name = 0, ""  # of the best weights, and of their folder
        self.best_weights: dict[str, Tensor] | None = None  # not yet on disk

    def restore(self, saved: Checkpoint) -> None:
        """Restore a checkpoint: weights, optimizer, schedule, counters, metrics and every random generator.

        Raises:
            CheckpointError: the weights or the state are from another model, or damaged.
        """
        where, state = self.store.folder, saved.state
        load_weights(self.model, saved.weights.get("trained", saved.weights["model"]), where)
        if self.update.average:
            load_weights(self.update.average.module, saved.weights["model"], where)
        try:
            self._restore_state(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise CheckpointError(f"{where}: the state does not fit this run: {reason(error)}") from error
        self.store.go_back(self.update.num_steps, self.best_name)

    def _restore_state(self, state: Mapping[str, Any]) -> None:
        if (known := state.get("parameters", names(self.model))) != names(self.model):
            moved = next(pair for pair in zip_longest(known, names(self.model)) if pair[0] != pair[1])
            raise ValueError(
                f"the model now defines {moved[1]} where it defined {moved[0]}, and the optimizer matches by position"
            )
        optimizer = fitting(state["update"]["optimizer"], self.update.optimizer)
        self.update.load_state_dict({**state["update"], "optimizer": optimizer})
        self.best.load_state_dict(state["best"])
        self.meter.load_state_dict(state["meter"], next(self.model.parameters()).device)
        self.position, self.seconds = Position(*map(int, state["position"])), float(state["seconds"])
        self.saved_step, self.saved_position, self.best_name = self.update.num_steps, self.position, state["best_name"]
        set_random_state(state["random"])

    @property
    def trained_s(self) -> float:
        """Seconds of training, including those before this process."""
        return self.seconds + time.monotonic() - self.start

    def within_epoch(self, report: Report, more_to_come: bool) -> None:
        """Save after an update once `checkpoint.every_steps` or `every_minutes` have passed.

        The last update of an epoch is left to `end_of_epoch`, so that each step has one point to resume from.
        """
        self.position = report.position
        waited = time.monotonic() - self.saved_at >= self.every_s
        if more_to_come and (waited or report.step - self.saved_step >= self.every_steps):
            self.save()
        self.lap("checkpoints")

    def end_of_epoch(self, report: Report, improved: bool) -> None:
        """Save at the end of an epoch, unless the last checkpoint is younger than `checkpoint.min_seconds`."""
        self.position = report.position
        now = time.monotonic() - self.saved_at >= self.min_seconds
        if improved:
            weights, self.best_step = self.update.averaged_model.state_dict(), report.step
            self.best_weights = weights if now else {name: tensor.clone() for name, tensor in weights.items()}
        if now:
            self.save()
        self.lap("checkpoints")

    def load_best(self) -> nn.Module:
        """Return the model to test: the weights of the best epoch, averaged where the run averages them."""
        model = self.update.averaged_model
        load_weights(model, self.store.read("best").weights["model"], self.store.folder / "best")
        return model

    def save(self) -> None:
        """Write the best weights and a checkpoint, unless they are saved already.

        Raises:
            FileSystemError: it cannot be written; the previous checkpoint is intact.
            NumericalError: a weight is not finite; the previous checkpoint stays the last.
        """
        if self.saved_position == self.position:
            return
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            raise NumericalError(
                f"a weight is not finite after {self.update.num_steps} updates; try a smaller optim.lr, or clip=1"
            )
        self.flush()
        step = self.update.num_steps
        if self.best_weights is not None:
            about = {"epoch": self.best.epoch, **finite(self.best.metrics)}
            self.best_name = self.store.save_best(self.best_step, self.best_weights, about)
            self.best_weights = None
        weights = {"model": self.update.averaged_model.state_dict()}
        if self.update.average:
            weights["trained"] = self.model.state_dict()
        state = {
            "update": self.update.state_dict(),
            "parameters": names(self.model),
            "best": self.best.state_dict(),
            "best_name": self.best_name,
            "meter": self.meter.state_dict(),
            "position": list(self.position),
            "seconds": self.trained_s,
            "random": random_state(),
        }
        about = {"epoch": self.position.epoch, "batch": self.position.batch, "best": self.best_name}
        self.store.save(step, weights, state, about)
        self.saved_at, self.saved_step, self.saved_position = time.monotonic(), step, self.position
