"""What a run hands to TensorBoard as it is: pictures, precision against recall, and which curves share a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars, pr_curve

from trainer.view.outcome import Outcome

CLASSES = 20  # that get a curve


def layout(results: Sequence[str]) -> Summary:
    """A chart for each metric, with the curves of training and validation on it; `results` has a `best/…` for each."""
    names = [tag.removeprefix("best/") for tag in results if tag.startswith("best/")]
    charts = {name: ["Multiline", [f"^train/{name}$", f"^val/{name}$"]] for name in names}
    return custom_scalars({"training and validation": charts})


def images(drawn: Mapping[str, Path], step: int) -> Iterator[tuple[int, Summary]]:
    """Name -> PNG file, as `plots/<name>`; the files are handed on and not decoded."""
    for name, path in drawn.items():
        image = Summary.Image(encoded_image_string=path.read_bytes())
        yield step, Summary(value=[Summary.Value(tag=f"plots/{name}", image=image)])


def pr_curves(outcome: Outcome, step: int) -> Iterator[tuple[int, Summary]]:
    """Each class against all others on the test split, at 127 thresholds; of two classes the second.

    Of many classes, the `CLASSES` that have most examples.
    """
    spec, targets = outcome.spec, outcome.targets.flatten().long()
    if spec.task == "regression":
        return
    if spec.task == "binary":
        chances, chosen = {1: outcome.outputs[:, 0].double().sigmoid()}, [1]
    else:
        chances = dict(enumerate(outcome.outputs.double().softmax(1).unbind(1)))
        counts = torch.bincount(targets, minlength=spec.out_features)
        chosen = sorted(counts.argsort(descending=True, stable=True)[:CLASSES].tolist())
    for number in chosen:
        name = spec.class_names[number] if spec.class_names else str(number)
        yield step, pr_curve(f"precision_recall/{name}", (targets == number).numpy(), chances[number].numpy())
