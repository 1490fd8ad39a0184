"""A recurrent classifier of tokens without packed sequences, of which a graph can be made; for export only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.rnn import PADDING, Recurrent


class Unpacked(nn.Module):
    """The same numbers as the `model` that it is made of, from the same weights, layer by layer.

    Tokens `(B, L)`, padding at the end, give logits `(B, out_features)`. Padding comes after what is read: the forward
    direction has ended by then, and the backward direction reads each sequence turned around up to its own length.
    """

    def __init__(self, model: Recurrent) -> None:
        super().__init__()
        steps = model.steps
        assert steps is not None
        assert model.embedding is not None
        self.embedding, self.head = model.embedding, model.head
        self.num_directions = 2 if steps.bidirectional else 1
        self.passes = nn.ModuleList()  # of each layer, forward and, where there is one, backward
        for layer in range(steps.num_layers):
            for suffix in ("", "_reverse")[: self.num_directions]:
                self.passes.append(_one_pass(steps, layer, suffix))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        lengths = (tokens != PADDING).sum(1).clamp_min(1)  # (B,)
        at = torch.arange(tokens.shape[1], device=tokens.device)  # (L,)
        turned = torch.where(at < lengths[:, None], lengths[:, None] - 1 - at, at)  # (B, L), its own inverse
        ends = (lengths - 1)[:, None]  # (B, 1), the last step, in either order
        states, last = self.embedding(tokens), []  # (B, L, E)
        for first in range(0, len(self.passes), self.num_directions):
            outputs = [self.passes[first](states)[0]]  # (B, L, hidden)
            last = [_at(outputs[0], ends)]
            if self.num_directions == 2:
                backward = self.passes[first + 1](_at(states, turned))[0]
                last.append(_at(backward, ends))
                outputs.append(_at(backward, turned))
            states = torch.cat(outputs, 2)
        return self.head(torch.cat([state[:, 0] for state in last], 1))


def _at(sequence: Tensor, index: Tensor) -> Tensor:
    """The steps of a sequence `(B, L, E)` at the index `(B, M)`: `(B, M, E)`."""
    return sequence.gather(1, index[:, :, None].expand(-1, -1, sequence.shape[2]))


def _one_pass(steps: nn.RNNBase, layer: int, suffix: str) -> nn.RNNBase:
    """One layer in one direction, with the weights of that of `steps`."""
    weights: dict[str, Any] = {
        name: getattr(steps, f"{name}_l{layer}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    made = type(steps)(weights["weight_ih"].shape[1], steps.hidden_size, batch_first=True)  # type: ignore[call-arg]
    made.load_state_dict({f"{name}_l0": weight for name, weight in weights.items()})
    return made
