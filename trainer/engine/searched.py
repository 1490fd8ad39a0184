"""An update by search: evaluate many candidate weights in one call, by torch's vmap over the model's weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils import parameters_to_vector

from trainer.engine.loop import Batch, Loss, Shortcut, forward
from trainer.engine.update import Update
from trainer.errors import ConfigError, reason
from trainer.optim.search import Search

NUMBERS = 2**20  # about this many in the layers of the candidates evaluated at once: they fit in a cache


class SearchedUpdate(Shortcut):
    """A shortcut for optimizers that need the losses of candidates and no gradient.

    `sample` is an input of the model, shape `(2, *in_shape)`, to try it on.

    Raises:
        ConfigError: the model has too many weights, or vmap cannot evaluate it for several candidates.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        update: Update,
        autocast: AbstractContextManager,
        observe: Callable[[Tensor, Tensor, Tensor], Any],
        sample: Tensor,
    ) -> None:
        self.model, self.loss, self.update, self.autocast, self.observe = model, loss, update, autocast, observe
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.num_weights = sum(p.numel() for p in self.named.values())
        assert isinstance(update.optimizer, Search)
        self.optimizer = update.optimizer
        name = type(self.optimizer).__name__
        try:
            self.optimizer.check_size(self.num_weights)
        except ValueError as error:
            raise ConfigError(f"optim: {name}: {error}") from error
        try:
            model.train()
            present = parameters_to_vector(self.named.values())
            with torch.no_grad(), autocast:
                vmap(lambda weights: self._with(weights)(sample), randomness="same")(present.expand(2, -1))
        except Exception as error:
            raise ConfigError(
                f"optim: {name} evaluates many weights in one call, and this {type(model).__name__} does not allow it: "
                f"{reason(error).split('. ')[0].rstrip('.')}; use optim=adam"
            ) from error

    @torch.no_grad()
    def __call__(self, window: list[Batch], size: int) -> Tensor:
        """Search once and return the mean loss of the window's `size` examples with the chosen weights, shape `()`."""
        self.optimizer.step(lambda candidates: self._losses(candidates, window, size))
        mean = self._mean(self.model, window, size, self.observe)
        self.update.was_made(mean, None)
        return mean

    def _losses(self, candidates: Tensor, window: list[Batch], size: int) -> Tensor:
        """Return the losses `(M,)` of candidates `(M, P)`; those evaluated at once share their dropout."""
        numbers = sum(inputs.numel() + len(targets) * self.num_weights for inputs, targets in window)
        mean = vmap(
            lambda weights: self._mean(self._with(weights), window, size),
            randomness="same",
            chunk_size=max(1, NUMBERS // numbers),
        )
        return mean(candidates)

    def _with(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the model with weights `(P,)` in place of its own."""
        parts = weights.split([p.numel() for p in self.named.values()])
        named = {name: part.view(p.shape) for part, (name, p) in zip(parts, self.named.items(), strict=True)}
        return lambda inputs: functional_call(self.model, named, (inputs,))

    def _mean(
        self,
        model: Callable[[Tensor], Tensor],
        window: list[Batch],
        size: int,
        observe: Callable[[Tensor, Tensor, Tensor], Any] = lambda *_: None,
    ) -> Tensor:
        """Return the mean loss of the window's examples, by the loop's forward pass."""
        mean: Any = 0.0
        for inputs, targets in window:
            outputs, value = forward(model, self.loss, inputs, targets, self.autocast)
            observe(outputs, targets, value)
            mean = mean + value * (len(targets) / size)
        return mean
