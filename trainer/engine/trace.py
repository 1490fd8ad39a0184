"""What a run keeps in memory to draw at its end: a bounded trace of losses and weights, and the model's outputs."""

import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from trainer.engine.meter import Meter

Item = TypeVar("Item")
POINTS = 512  # losses to keep
WEIGHTS = 128  # copies of all weights to keep
WEIGHTS_BYTES = 64 * 2**20  # limit for all copies together
OUTPUTS = 4_000_000  # numbers to keep of a split's outputs


class Spaced(Generic[Item]):
    """Items at evenly spaced steps, at most `capacity`: when full, every second one is dropped."""

    def __init__(self, capacity: int, first: int) -> None:
        self.capacity, self.spacing = capacity - capacity % 2, 1
        self.steps: list[int] = []
        self.items: list[Item] = []
        self.next: float = first if self.capacity >= 4 else math.inf  # step of the next item

    def add(self, step: int, item: Item) -> None:
        """Keep the item of step `next`."""
        self.steps.append(step)
        self.items.append(item)
        if len(self.items) == self.capacity:
            del self.steps[1::2], self.items[1::2]
            self.spacing *= 2
        self.next = self.steps[-1] + self.spacing


class Trace:
    """The trace of a run from `step` on; an update that is not kept costs one comparison."""

    def __init__(self, model: nn.Module, step: int, enabled: bool = True) -> None:
        self.parameters = dict(model.named_parameters())
        size = sum(p.numel() * p.element_size() for p in self.parameters.values())
        # Losses, shape (), stay on the device, so that nothing waits for them; beside each, the learning rate.
        self.points: Spaced[tuple[Tensor, float]] = Spaced(POINTS if enabled else 0, step + 1)
        self.weights: Spaced[list[Tensor]] = Spaced(min(WEIGHTS, WEIGHTS_BYTES // max(1, size)) * enabled, step)
        self._keep_weights(step)
        self.next = min(self.points.next, self.weights.next)

    def note(self, step: int, loss: Tensor, lr: float) -> None:
        """Keep what is due at this step; call it when `step >= next`."""
        if step >= self.points.next:
            self.points.add(step, (loss.detach().clone(), lr))
        self._keep_weights(step)
        self.next = min(self.points.next, self.weights.next)

    def _keep_weights(self, step: int) -> None:
        if step >= self.weights.next:
            self.weights.add(step, [p.detach().clone() for p in self.parameters.values()])

    def end(self, step: int) -> None:
        """Keep the weights of the last step too, out of the even spacing."""
        if self.weights.items and step > self.weights.steps[-1]:
            self.weights.steps.append(step)
            self.weights.items.append([p.detach().clone() for p in self.parameters.values()])

    def losses(self) -> tuple[list[int], list[float], list[float]]:
        """Return steps, losses and learning rates."""
        items = self.points.items
        losses = torch.stack([loss.float() for loss, _ in items]).tolist() if items else []
        return self.points.steps, losses, [lr for _, lr in items]

    def path(self) -> tuple[list[int], Tensor]:
        """Return steps and their weights `(S, P)` on the CPU, in the order of the model's parameters."""
        rows = [torch.cat([w.flatten() for w in weights]).cpu() for weights in self.weights.items]
        return self.weights.steps, torch.stack(rows) if rows else torch.zeros(0, 0)

    def last(self) -> dict[str, Tensor]:
        """Return the last kept value of each parameter by name; empty if none was kept."""
        return dict(zip(self.parameters, self.weights.items[-1], strict=True)) if self.weights.items else {}


class KeepingMeter(Meter):
    """A meter that also keeps outputs and targets, on the CPU, up to a limit."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter.metrics, meter.in_units)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.numbers = 0

    def update(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch and its mean loss."""
        super().update(outputs, targets, loss)
        self.numbers += outputs.numel()
        if self.numbers <= OUTPUTS or not self.seen:
            self.seen.append((outputs.detach().cpu(), targets.cpu()))

    @property
    def is_whole(self) -> bool:
        """Whether the outputs of all examples are kept."""
        return self.numbers <= OUTPUTS

    def outputs(self) -> tuple[Tensor, Tensor]:
        """Return outputs `(N, K)` and targets of the first examples, or of all if they are below the limit."""
        outputs, targets = zip(*self.seen, strict=True)
        return torch.cat(outputs), torch.cat(targets)
