"""Loss and metrics over many batches, and the best epoch by one of them; both are saved with an interrupted run."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from trainer.metrics.names import of_today
from trainer.metrics.sums import Metric, exact


class Meter:
    """Loss and metrics over many batches.

    Batches are kept and added up 256 at a time, because the few operations of a metric are much next to one step of
    a small model and little next to 256. `in_units` undoes the standardisation of regression targets.
    """

    def __init__(self, metrics: Mapping[str, Metric], in_units: Callable[[Tensor], Tensor] | None = None) -> None:
        self.metrics, self.in_units = dict(metrics), in_units
        self.names = ["loss", *metrics]
        self._reset()

    def _reset(self) -> None:
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self.loss: Tensor | float = 0.0
        self.num_examples = 0
        for metric in self.metrics.values():
            metric.reset()

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch and its mean loss."""
        self.kept.append((outputs.detach(), targets, loss.detach()))
        if len(self.kept) == 256:
            self._add_up()

    def _add_up(self) -> None:
        outputs, targets, losses = zip(*self.kept, strict=True)
        # A GPU fetches them from pinned memory when it gets there; otherwise the host would wait to copy them.
        sizes = torch.tensor([len(t) for t in targets], pin_memory=losses[0].is_cuda)
        sizes = sizes.to(losses[0].device, non_blocking=True)
        self.loss = self.loss + (exact(torch.stack(losses)) * sizes).sum()
        self.num_examples += sum(len(t) for t in targets)
        all_outputs, all_targets = torch.cat(outputs), torch.cat(targets)
        if self.in_units:
            all_outputs, all_targets = self.in_units(exact(all_outputs)), self.in_units(exact(all_targets))
        for metric in self.metrics.values():
            metric.update(all_outputs, all_targets)
        self.kept = []

    def state_dict(self) -> dict[str, Any]:
        """Return what was added since the last `compute`."""
        states = {name: tree_map_only(Tensor, Tensor.detach, vars(m)) for name, m in self.metrics.items()}
        batches = [list(batch) for batch in self.kept]
        return {"kept": batches, "metrics": states, "loss": self.loss, "num_examples": self.num_examples}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue from a saved state."""
        state = tree_map_only(Tensor, lambda tensor: tensor.to(device), state)
        self.kept = [(outputs, targets, loss) for outputs, targets, loss in state["kept"]]
        self.loss, self.num_examples = state["loss"], state["num_examples"]
        saved = of_today(state["metrics"], self.metrics)
        for name, metric in self.metrics.items():
            vars(metric).update(saved[name])

    def compute(self) -> dict[str, float]:
        """Return each value by name over all examples since the last call, `loss` first, and reset."""
        if self.kept:
            self._add_up()
        values = {"loss": self.loss / self.num_examples} | {n: m.compute() for n, m in self.metrics.items()}
        self._reset()
        return {name: float(value) for name, value in values.items()}


class Best:
    """The best epoch by one validation metric of `names` and, if it `breaks_ties`, of equal ones by the loss.

    NaN is never best and never an improvement.
    """

    def __init__(
        self, monitor: str, higher_is_better: bool, names: Collection[str] = (), breaks_ties: bool = True
    ) -> None:
        self.monitor, self.names, self.breaks_ties = monitor, names, breaks_ties
        self.sign = 1.0 if higher_is_better else -1.0
        self.metrics: dict[str, float] = {}
        self.epoch = 0
        self.epochs_without = 0

    def state_dict(self) -> dict[str, Any]:
        """Return all that a restart needs."""
        return {"metrics": self.metrics, "epoch": self.epoch, "epochs_without": self.epochs_without}

    def about(self) -> dict[str, Any]:
        """Return the entries of the run's summary."""
        return {
            "best": self.metrics,
            "best_epoch": self.epoch,
            "monitor": self.monitor,
            "higher_is_better": self.sign > 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        vars(self).update(state)
        self.metrics = of_today(self.metrics, self.names)

    def improved(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Record an epoch and return whether it is the best so far; the earlier one wins a tie of all."""
        now, before = self._rank(metrics), self._rank(self.metrics)
        better = math.isnan(before[0]) or now > before
        if better:
            self.metrics, self.epoch = metrics, epoch
        self.epochs_without = 0 if better and not math.isnan(now[0]) else self.epochs_without + 1
        return better

    def _rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        return self.sign * metrics.get(self.monitor, math.nan), -metrics.get("loss", math.nan) * self.breaks_ties
