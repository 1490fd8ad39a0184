"""One model of several that were trained on folds of the same data: the mean of their predictions.

Each was trained on inputs encoded by its own training rows. The mean reads one encoding, that of all of them joined,
from which each model's own is computed.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import MISSING, Column, TableEncoder
from trainer.data._table.splits import spec_of
from trainer.data._vocabulary import UNKNOWN, Vocabulary
from trainer.data.description import Description, written
from trainer.data.tensors import DataSpec
from trainer.engine.loop import full
from trainer.errors import CheckpointError
from trainer.trained.model import Trained


def joined(members: Sequence[Trained], folder: Path) -> Trained:
    """Return the mean of models of the same data: of probabilities (Breiman 1996, Bagging), or of values.

    Raises:
        CheckpointError: they were not trained on the same columns, sizes or classes.
    """
    first = members[0]
    spec = _joined_spec([member.spec for member in members], folder)
    mean = Mean([Member(member.model, _adapter(member.spec, spec), member.spec) for member in members], spec)
    names = {"names": first.summary.get("names", {})}
    notes = [f"the mean of the models of {len(members)} folds", *first.notes]
    described = written(Description(replace(spec, notes=()), first.class_counts))
    made = replace(first, folder=folder, spec=spec, model=mean.to(first.device).eval(), summary=names, notes=notes)
    return replace(made, description=described)


class Member(nn.Module):
    """A model of the ensemble, behind what turns the joined encoding into its own."""

    def __init__(self, model: nn.Module, adapter: nn.Module, spec: DataSpec) -> None:
        super().__init__()
        self.model, self.adapter, self.task = model, adapter, spec.task
        self.mean, self.std = spec.target_mean, spec.target_std

    def forward(self, inputs: Tensor) -> Tensor:
        """Return values `(B, 1)` in their units, or log-probabilities `(B, K)`, of the two classes if K is 2."""
        outputs = full(self.model(self.adapter(inputs)))
        if self.task == "regression":
            return outputs * self.std + self.mean
        if self.task == "binary":
            return torch.cat([F.logsigmoid(-outputs), F.logsigmoid(outputs)], 1)
        return F.log_softmax(outputs, 1)


class Mean(nn.Module):
    """The mean of its members, as the outputs of one model: logits, or standardised values."""

    def __init__(self, members: Sequence[Member], spec: DataSpec) -> None:
        super().__init__()
        self.members, self.task = nn.ModuleList(members), spec.task
        self.mean, self.std = spec.target_mean, spec.target_std

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `(B, K)`, `(B, 1)` for two classes, or standardised values `(B, 1)`."""
        found = torch.stack([member(inputs) for member in self.members])  # (M, B, K)
        if self.task == "regression":
            return (found.mean(0) - self.mean) / self.std
        logits = found.logsumexp(0)  # of the mean probability, but for a constant, which no softmax sees
        return logits[:, 1:] - logits[:, :1] if self.task == "binary" else logits


class Affine(nn.Module):
    """`inputs @ weight.T + bias` in double precision, which no autocast reduces; inputs `(B, F)`."""

    weight: Tensor  # (G, F) float64
    bias: Tensor  # (G,) float64

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `(B, G)` in the inputs' precision."""
        return F.linear(inputs.double(), self.weight, self.bias).to(inputs.dtype)


class Rescaled(nn.Module):
    """Images `(B, C, H, W)`, each channel scaled and shifted."""

    scale: Tensor  # (C, 1, 1) float64
    shift: Tensor  # (C, 1, 1) float64

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return images of the same shape and precision."""
        return (images.double() * self.scale + self.shift).to(images.dtype)


class Renumbered(nn.Module):
    """Tokens `(B, L)` by other numbers, cut at a length."""

    numbers: Tensor  # (V,) int64

    def __init__(self, numbers: Tensor, length: int) -> None:
        super().__init__()
        self.register_buffer("numbers", numbers)
        self.length = length

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens `(B, length)`."""
        return self.numbers[tokens[:, : self.length].long()]


def with_portable(mean: Mean, portable: object) -> Mean:
    """Return a copy whose members' models are replaced by `portable(model)`."""
    made = copy.deepcopy(mean).cpu()
    for member in made.members:
        member.model = portable(member.model)  # type: ignore[operator]
    return made


def _joined_spec(specs: Sequence[DataSpec], folder: Path) -> DataSpec:
    first, encoders = specs[0], [spec.encoder for spec in specs]
    same = {(spec.task, spec.class_names, spec.target_name, type(spec.encoder)) for spec in specs}
    if len(same) > 1 or first.encoder is None:
        raise CheckpointError(f"{folder}: its folds do not have the same classes, or do not say how data is encoded")
    if isinstance(first.encoder, TableEncoder):
        if len({encoder.names for encoder in encoders}) > 1:  # type: ignore[union-attr]
            raise CheckpointError(f"{folder}: its folds have other columns")
        return replace(spec_of(_joined_table(encoders), ()), true_parameters={})  # type: ignore[arg-type]
    if isinstance(first.encoder, Vocabulary):
        if len({encoder.unit for encoder in encoders}) > 1:  # type: ignore[union-attr]
            raise CheckpointError(f"{folder}: its folds cut texts into other tokens")
        tokens = sorted({token for encoder in encoders for token in encoder.tokens})  # type: ignore[union-attr]
        length = max(encoder.max_length for encoder in encoders)  # type: ignore[union-attr]
        encoder = replace(first.encoder, tokens=tuple(tokens), max_length=length)
        return replace(first, encoder=encoder, in_shape=encoder.in_shape, vocab_size=len(tokens) + UNKNOWN + 1)
    if len({(encoder.in_shape, encoder.largest, encoder.depth) for encoder in encoders}) > 1:  # type: ignore[union-attr]
        raise CheckpointError(f"{folder}: its folds read images of other sizes")
    return first


def _joined_table(encoders: Sequence[TableEncoder]) -> TableEncoder:
    """Return an encoder that keeps all that any of these does: every category, and whether a number is missing."""
    columns: list[Column] = []
    for name in encoders[0].names:
        found = [column for encoder in encoders for column in encoder.columns if column.name == name]
        numbers = [column for column in found if column.categories is None]
        marks = [MISSING] if numbers and encoders[0].fill else []  # each fold has its own number for a missing one
        categories = sorted({*marks, *(word for column in found for word in column.categories or ())})
        columns += [*numbers[:1], *([Column(name, categories=tuple(categories))] if categories else [])]
    return replace(encoders[0], columns=tuple(columns))


def _adapter(own: DataSpec, joint: DataSpec) -> nn.Module:
    """Return what turns inputs in the joined encoding into a model's own."""
    if isinstance(own.encoder, TableEncoder) and isinstance(joint.encoder, TableEncoder):
        return _columns(own.encoder, joint.encoder)
    if isinstance(own.encoder, ImageEncoder) and isinstance(joint.encoder, ImageEncoder):
        mean, std, of_mean, of_std = (
            torch.tensor(values, dtype=torch.float64)
            for values in (own.encoder.mean, own.encoder.std, joint.encoder.mean, joint.encoder.std)
        )
        return Rescaled(of_std / std, (of_mean - mean) / std)
    assert isinstance(own.encoder, Vocabulary)
    assert isinstance(joint.encoder, Vocabulary)
    number = {token: index for index, token in enumerate(own.encoder.tokens, UNKNOWN + 1)}
    known = [number.get(token, UNKNOWN) for token in joint.encoder.tokens]
    return Renumbered(torch.tensor([*range(UNKNOWN + 1), *known]), own.encoder.max_length)


def _columns(own: TableEncoder, joint: TableEncoder) -> Affine:
    """Return the matrix: numbers are scaled anew, categories are picked, missing numbers get the model's own median."""
    place, at = {}, 0
    for column in joint.columns:
        for category in column.categories or (None,):
            place[column.name, category] = at
            at += 1
    scales = {column.name: column for column in joint.columns if column.categories is None}
    weight, bias = torch.zeros(*own.in_shape, at, dtype=torch.float64), torch.zeros(*own.in_shape, dtype=torch.float64)
    row = 0
    for column in own.columns:
        for category in column.categories or (None,):
            weight[row, place[column.name, category]] = 1
            if category is None:
                scale = scales[column.name]
                weight[row, place[column.name, None]] = scale.std / column.std
                bias[row] = (scale.mean - column.mean) / column.std
                if (column.name, MISSING) in place:  # the joined encoding has another number there
                    weight[row, place[column.name, MISSING]] = (_middle(column) - _middle(scale)) / column.std
            row += 1
    return Affine(weight, bias)


def _middle(column: Column) -> float:
    """Return the number that stands for a missing one."""
    return column.mean if column.median is None else column.median
