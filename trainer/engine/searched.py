"""An update by a search: the losses of many weights in one call, by torch's vmap over those of the model."""

from __future__ import annotations

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

NUMBERS = 2**20  # about as many in the layers of all candidates that are evaluated at once: they fit in a cache


class SearchedUpdate(Shortcut):
    """A shortcut of the loop for optimizers that ask for the losses of candidates: no gradient is made.

    `sample` is an input of the model, shape `(2, *in_shape)`, on which it is tried.

    Raises:
        ConfigError: the model has too many weights, or cannot be evaluated for several of each in one call.
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
            self._try(sample)
        except Exception as error:
            raise ConfigError(
                f"optim: {name} evaluates many weights in one call, and this {type(model).__name__} cannot be: "
                f"{reason(error).split('. ')[0].rstrip('.')}; optim=adam trains it"
            ) from error

    @torch.no_grad()
    def __call__(self, window: list[Batch], size: int) -> Tensor:
        """Mean loss of the window's `size` examples with the weights that were chosen, shape `()`."""
        self.optimizer.step(lambda candidates: self._losses(candidates, window, size))
        mean = self._mean(self.model, window, size, self.observe)
        self.update.was_made(mean, None)
        return mean

    @torch.no_grad()
    def _try(self, sample: Tensor) -> None:
        self.model.train()
        present = parameters_to_vector(self.named.values())
        with self.autocast:
            vmap(lambda weights: self._with(weights)(sample), randomness="same")(present.expand(2, -1))

    def _losses(self, candidates: Tensor, window: list[Batch], size: int) -> Tensor:
        """Of candidates `(M, P)`, shape `(M,)`; those that are evaluated at once share their dropout."""
        numbers = sum(inputs.numel() + len(targets) * self.num_weights for inputs, targets in window)
        mean = vmap(
            lambda weights: self._mean(self._with(weights), window, size),
            randomness="same",
            chunk_size=max(1, NUMBERS // numbers),
        )
        return mean(candidates)

    def _with(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """The model with weights `(P,)` in place of its own."""
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
        """The loop's forward pass: mean loss of the window's examples."""
        mean: Any = 0.0
        for inputs, targets in window:
            outputs, value = forward(model, self.loss, inputs, targets, self.autocast)
            observe(outputs, targets, value)
            mean = mean + value * (len(targets) / size)
        return mean
