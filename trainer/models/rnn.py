"""Recurrent classifiers: RNN (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014).

`L` is the number of steps, `E` the numbers read per step, `D` the width of the hidden state times its directions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

KINDS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELLS: dict[str, type[nn.RNNCellBase]] = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
PADDING = 0  # the token that fills sequences up to the longest, as in trainer/data/_vocabulary.py


class Recurrent(nn.Module):
    """Reads a sequence and classifies by the state after its last step, in both directions if `bidirectional`.

    Tokens `(B, L)` int64 are embedded, and padding never changes a result. An image `(B, C, H, W)` is read row by
    row: H steps of C * W numbers.

    Args:
        kind: rnn, gru or lstm.
        hidden: Size of the hidden state.
        layers: Recurrent layers, each reading the states of the one before.
        bidirectional: Whether a second network reads the sequence backwards.
        dropout: Probability of setting a number of a state to zero in training, between layers and before the last.
        embedding: Size of the vector of a token.
        cell: Whether to loop over torch's cell in Python, with the same results, so that a debugger can follow.

    Raises:
        ValueError: unknown `kind`, or `cell` with several layers or directions.
    """

    reads = ("image", "tokens")

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        vocab_size: int | None = None,
        kind: str = "gru",
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        embedding: int = 64,
        cell: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind={kind}: expected one of {', '.join(KINDS)}")
        if cell and (layers > 1 or bidirectional):
            raise ValueError("cell=true supports one layer in one direction; use layers=1 bidirectional=false")
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING) if vocab_size else None
        width = embedding if vocab_size else in_shape[0] * in_shape[2]
        options = {"num_layers": layers, "bidirectional": bidirectional, "dropout": dropout if layers > 1 else 0.0}
        self.cell = CELLS[kind](width, hidden) if cell else None  # type: ignore[call-arg]
        self.steps = None if cell else KINDS[kind](width, hidden, batch_first=True, **options)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * (2 if bidirectional else 1), out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return values or, for classes, logits `(B, out_features)`."""
        if self.embedding is not None:
            lengths = (inputs != PADDING).sum(1).clamp_min(1)  # (B,)
            sequence = self.embedding(inputs)  # (B, L, E)
        else:
            lengths = inputs.new_full((inputs.shape[0],), inputs.shape[2], dtype=torch.int64)
            sequence = inputs.transpose(1, 2).flatten(2)  # (B, H, C * W)
        last = self._step_by_step(sequence, lengths) if self.cell is not None else self._all_at_once(sequence, lengths)
        return self.head(self.dropout(last))

    def _all_at_once(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Return the last state of the last layer, `(B, D)`."""
        assert self.steps is not None
        packed: Tensor | PackedSequence = sequence
        if self.embedding is not None:
            packed = pack_padded_sequence(sequence, lengths.cpu(), batch_first=True, enforce_sorted=False)
        state = self.steps(packed)[1]
        state = state[0] if isinstance(state, tuple) else state  # (layers * directions, B, hidden)
        return torch.cat([*state[-2:]], 1) if self.steps.bidirectional else state[-1]

    def _step_by_step(self, sequence: Tensor, lengths: Tensor) -> Tensor:
        """Return the last state, `(B, D)`, by a loop over the steps; a sequence that has ended keeps its state."""
        assert self.cell is not None
        hidden = sequence.new_zeros(sequence.shape[0], self.cell.hidden_size)
        state: Any = (hidden, hidden) if isinstance(self.cell, nn.LSTMCell) else hidden
        for number, step in enumerate(sequence.unbind(1)):
            has_step = (number < lengths)[:, None]  # (B, 1)
            new = self.cell(step, state)
            if isinstance(state, tuple):
                state = tuple(torch.where(has_step, n, s) for n, s in zip(new, state, strict=True))
            else:
                state = torch.where(has_step, new, state)
        return state[0] if isinstance(state, tuple) else state
