"""A metric of the user's own: a function of outputs and targets, or a class with `reset`, `update` and `compute`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.errors import ConfigError, is_out_of_memory, reason
from trainer.metrics.sums import Metric


class Own(Metric):
    """Calls the user's code with all examples at once, on the CPU."""

    def __init__(self, target: str, made: Any) -> None:
        self.target, self.made = target, made
        self.measure: Callable[[Tensor, Tensor], Any] = self._updated if hasattr(made, "update") else made
        self.reset()

    def reset(self) -> None:
        """Forget all examples."""
        self.kept: list[tuple[Tensor, Tensor]] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Keep examples."""
        self.kept.append((outputs, targets))

    def compute(self) -> Tensor:
        """Return the metric over the examples so far, shape `()`."""
        outputs, targets = zip(*self.kept, strict=True)
        return self.of(torch.cat(outputs), torch.cat(targets))

    def of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the metric of some examples, shape `()`.

        Raises:
            ConfigError: it raises an error, or does not return one number.
        """
        try:
            return torch.tensor(float(self.measure(outputs.cpu(), targets.cpu())), dtype=torch.float64)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(f"metrics: {self.target}: {reason(error)}") from error

    def _updated(self, outputs: Tensor, targets: Tensor) -> Any:
        self.made.reset()
        self.made.update(outputs, targets)
        return self.made.compute()
