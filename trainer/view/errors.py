"""The test examples that a model gets most wrong: where they are in the data, what they are, and what it says."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.data._image.file import printable
from trainer.data._table.decoder import cells
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import Vocabulary
from trainer.data.tensors import BatchLoader, DataSpec
from trainer.files import replacing
from trainer.view.outcome import Outcome, labels, probabilities
from trainer.view.words import shown

MOST = 100  # rows


def worst(spec: DataSpec, outputs: Tensor, targets: Tensor, most: int) -> tuple[Tensor, int]:
    """Return at most `most` test examples and the number of wrong ones.

    Classes: least probable true class first, and right ones only if none are wrong. Values: largest error first, and
    all count as wrong.
    """
    if spec.task == "regression":
        error = (outputs.double() - targets.double()).abs().flatten()
        return error.argsort(descending=True, stable=True)[:most], len(error)
    chances, true = probabilities(outputs), labels(spec, targets)
    wrong = spec.chosen(chances) != true
    chance = chances.gather(1, true[:, None])[:, 0]
    if wrong.any():
        chance = chance.where(wrong, 2.0)
    number = int(wrong.sum())
    return chance.argsort(stable=True)[: min(most, number or most)], number


def write_errors(outcome: Outcome, path: Path) -> str:
    """Write the worst test examples as CSV, and return a line about them.

    Each has its file, or its row in the data as it is stored, from 0; the truth and the prediction, probabilities and
    the cross-entropy or the error; then the cells or the text, as the model reads them.
    """
    index, number = worst(outcome.spec, outcome.outputs, outcome.targets, MOST)
    judged, titles = _judged(outcome, index)
    content, names = contents(outcome.spec, outcome.data.test, index)
    named = _is_named(outcome.data.test)
    places = places_of(outcome.data.test, index) if named else outcome.data.test.rows[index].tolist()
    rows = [[place, *said, *row] for place, said, row in zip(places, judged, content, strict=True)]
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file" if named else "row", *titles, *names], *rows])
    total, all_of = len(outcome.targets), outcome.data.test.num_examples
    what = f"{number:,} of {total:,} test examples wrong" if outcome.has_classes else f"{total:,} test examples"
    first = f", the first of {all_of:,}" if total < all_of else ""
    return f"errors        {shown(path)} ({what}{first}; the worst {len(index):,})"


def places_of(loader: BatchLoader, index: Tensor) -> list[str]:
    """Name the examples at the index: by file, or by row in the data as it is stored."""
    if _is_named(loader):
        return [printable(path) for path in loader.inputs.paths[index.numpy()]]  # type: ignore[attr-defined]
    return [f"row {row:,}" for row in loader.rows[index].tolist()]


def contents(spec: DataSpec, loader: BatchLoader, index: Tensor) -> tuple[list[list[str]], Sequence[str]]:
    """Return the cells of the examples at the index, or their texts, and the names of columns; none for images."""
    if isinstance(spec.encoder, TableEncoder):
        return cells(spec.encoder, loader.stored(index).numpy()), spec.encoder.names
    if isinstance(spec.encoder, Vocabulary):
        return [[spec.encoder.decode(text)] for text in loader.stored(index).tolist()], ["text"]
    return [[] for _ in index], []


def _is_named(loader: BatchLoader) -> bool:
    return hasattr(getattr(loader, "inputs", None), "paths")


def _judged(outcome: Outcome, index: Tensor) -> tuple[list[list[object]], list[str]]:
    """Return truth, prediction and how far apart they are, and the titles of these columns."""
    outputs, targets = outcome.outputs[index].double(), outcome.targets[index]
    if not outcome.has_classes:
        values = (outcome.spec.in_units(part.double()).flatten().tolist() for part in (targets, outputs))
        return [[f"{t:.7g}", f"{p:.7g}", f"{p - t:.7g}"] for t, p in zip(*values, strict=True)], [
            "true",
            "predicted",
            "error",
        ]
    chances, true, names = probabilities(outputs), outcome.true_classes[index], outcome.class_names
    predicted = outcome.spec.chosen(chances)
    pair = [chances.gather(1, classes[:, None])[:, 0] for classes in (true, predicted)]
    numbers = torch.stack([*pair, -pair[0].log()], 1).tolist()
    classes = zip(true.tolist(), predicted.tolist(), strict=True)
    rows = [
        [names[t], names[p], *(f"{value:.6g}" for value in row)] for (t, p), row in zip(classes, numbers, strict=True)
    ]
    return rows, ["true", "predicted", "probability of true", "probability of predicted", "loss"]
