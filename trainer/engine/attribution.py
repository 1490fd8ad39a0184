"""Integrated gradients: what each part of an input adds to what a model says.

Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks. The attributions of an input add up to the
difference between what the model says of it and of a blank one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trainer.errors import ConfigError

FIRST, LAST = 16, 512  # points on the path from the blank input, doubled until the attributions are complete
TOLERANCE = 0.01  # of the difference that they add up to
AT_ONCE = 64  # points


class Attribution(NamedTuple):
    """Of one input: the attribution of each of its numbers, and what the model says of it and of the blank one."""

    values: Tensor  # of the input's shape
    said: float
    blank: float

    @property
    def gap(self) -> float:
        """How much the attributions are away from the difference that they should add up to, in parts of it."""
        difference = self.said - self.blank
        return abs(float(self.values.double().sum()) - difference) / max(abs(difference), 1e-6)


def integrated_gradients(function: Callable[[Tensor], Tensor], given: Tensor, blank: Tensor) -> Attribution:
    """Return the attributions for `given`, with as many points as it takes.

    `function` maps inputs `(B, ...)` to numbers `(B,)`; `given` and `blank` are one input each, without the batch. The
    integral along the straight path is Gauss and Legendre's.
    """
    ends = torch.stack([given, blank])
    with torch.no_grad():
        said, of_blank = function(ends).double().tolist()
    number = FIRST
    while True:
        nodes, weights = np.polynomial.legendre.leggauss(number)
        gradient = torch.zeros_like(given, dtype=torch.float64, device="cpu")
        for some, share in zip(_parts((nodes + 1) / 2), _parts(weights / 2), strict=True):
            places = some.to(given).view(-1, *[1] * given.ndim)
            path = (blank + places * (given - blank)).requires_grad_()
            [slopes] = torch.autograd.grad(function(path).sum(), path)
            gradient += torch.tensordot(share, slopes.double().cpu(), 1)
        values = gradient * (given - blank).double().cpu()
        found = Attribution(values, said, of_blank)
        if found.gap <= TOLERANCE or number >= LAST:
            return found
        number *= 2


def _parts(values: np.ndarray) -> tuple[Tensor, ...]:
    return torch.from_numpy(values).split(AT_ONCE)


def evidence(outputs: Tensor, chosen: int) -> Tensor:
    """Return the log-odds `(B,)` of one class for logits `(B, K)`, or of the first or second for one logit `(B, 1)`.

    They are not saturated as probabilities are, and a constant added to all logits changes nothing.
    """
    if outputs.shape[1] == 1:
        return outputs[:, 0] if chosen else -outputs[:, 0]
    others = [number for number in range(outputs.shape[1]) if number != chosen]
    return outputs[:, chosen] - outputs[:, others].logsumexp(1)


@contextmanager
def embedded(model: nn.Module, tokens: Tensor) -> Iterator[tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """Yield the embeddings `(L, E)` of one text, tokens `(L,)`, and the model as a function of embeddings `(B, L, E)`.

    Raises:
        ConfigError: the model looks no tokens up in a torch.nn.Embedding.
    """
    replaced: list[Tensor] = []
    own: list[Tensor] = []

    def look_up(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        found = inputs[0]
        if found.shape[1:] != tokens.shape or not bool((found == tokens).all()):
            return output  # of positions, for example
        own.append(output)
        return replaced[0] if replaced else output

    def of_embeddings(embeddings: Tensor) -> Tensor:
        replaced[:] = [embeddings]
        return model(tokens.expand(len(embeddings), -1))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Embedding)]
    hooks = [layer.register_forward_hook(look_up) for layer in layers]
    try:
        with torch.no_grad():
            model(tokens[None])
        if not own:
            raise ConfigError(f"model: {type(model).__name__} looks its tokens up in no torch.nn.Embedding")
        yield own[0][0], of_embeddings
    finally:
        for hook in hooks:
            hook.remove()
