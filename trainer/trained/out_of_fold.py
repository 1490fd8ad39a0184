"""What cross-validation says of each example: the prediction of the model that was not trained on it."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.build.metrics import metrics
from trainer.data import description
from trainer.data.tensors import DataSpec
from trainer.engine.intervals import intervals
from trainer.engine.loop import evaluate
from trainer.engine.meter import Meter
from trainer.engine.trace import KeepingMeter
from trainer.errors import CheckpointError
from trainer.files import replacing
from trainer.metrics.bounds import Interval, mean_draws, percentiles
from trainer.metrics.classes import cut_at
from trainer.runs import checkpoints, tested
from trainer.runs.leaderboard import Job
from trainer.runs.run import Run
from trainer.runs.tested import Tested
from trainer.trained.model import config_of, load_one
from trainer.trained.new_data import own_test
from trainer.trained.predictions import titles_of


class Part(NamedTuple):
    """The test split of a fold, and what its model said."""

    job: Job
    repeat: tuple[str, ...]  # what the folds of one division share: seeds, and which division it is
    number: int  # of the fold, from 1
    spec: DataSpec
    tested: Tested


def part_of(job: Job) -> Part:
    """Read what a fold has recorded.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    files = Run(job.folder).files
    found = tested.of(files.tested)
    try:
        spec = description.loads(checkpoints.Store(files.checkpoints).read("best").data or b"").spec
    except ValueError as error:
        raise CheckpointError(f"{files.checkpoints}: {error}") from error
    num_examples, most = len(found.rows), max(0, len(spec.classes) - 1)
    expected = (num_examples,) if spec.task == "multiclass" else (num_examples, 1)
    fits = found.outputs.shape == (num_examples, spec.out_features) and found.targets.shape == expected
    if not fits or (most and not bool(((found.targets >= 0) & (found.targets <= most)).all())):
        raise CheckpointError(f"{files.tested}: its outputs or targets are not those of this data")
    return placed(job, spec, found)


def placed(job: Job, spec: DataSpec, found: Tested) -> Part:
    """Return a part with its place in the cross-validation.

    Raises:
        CheckpointError: the run is no fold.
    """
    cfg, fold = config_of(job.folder), job.values.get("fold", "")
    if not fold.isdecimal() or not 1 <= int(fold) <= cfg.folds * cfg.repeats:
        raise CheckpointError(f"{job.folder}: fold={fold} is not one of folds={cfg.folds} repeats={cfg.repeats}")
    division, number = divmod(int(fold) - 1, cfg.folds)
    repeat = job.values.get("seed", ""), job.values.get("split_seed", ""), f"{division:09}"
    return Part(job, repeat, number + 1, spec, found)


def repeats(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the folds of each repeat, in order; every one has all rows once.

    Raises:
        CheckpointError: the folds do not predict the same.
    """
    if len({(part.spec.task, part.spec.classes) for part in parts}) > 1:
        raise CheckpointError(f"{parts[0].job.folder.parent}: its folds have other classes")
    found: dict[tuple[str, ...], list[Part]] = {}
    for part in sorted(parts, key=lambda part: (part.repeat, part.number)):
        found.setdefault(part.repeat, []).append(part)
    return [*found.values()]


def again(jobs: Sequence[Job], overrides: list[str], device: str, trust: bool) -> tuple[list[Part], list[str]]:
    """Test the model of each fold once more on its own test split, and return notes to print."""
    parts, notes = [], []
    for job in jobs:
        model = load_one(job.folder, device, trust=trust)
        batches, more = own_test(model, overrides)
        meter = KeepingMeter(model.meter)
        evaluate(model.model, model.loss, batches, meter, autocast=model.autocast)
        parts.append(placed(job, model.spec, tested.seen(meter, batches)))
        notes += [*model.notes, *more]
    return parts, list(dict.fromkeys(notes))


def measured(parts: Sequence[Part]) -> dict[str, float]:
    """Return the metrics over the examples of all folds at once, the mean over repeats."""
    found = []
    for repeat in repeats(parts):
        values: dict[str, float] = {}
        for meter, of_classes in _meters(parts):
            for part in repeat:
                meter.update(*_alike(part, parts[0].spec, of_classes), torch.zeros(()))
            values |= meter.compute()
        found.append({name: values[name] for name in _names(parts)})
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


def bounds(parts: Sequence[Part]) -> dict[str, Interval]:
    """Return the 95 % intervals of the same."""
    known: dict[str, Interval | None] = {}
    for meter, of_classes in _meters(parts):
        found = []
        for repeat in repeats(parts):
            every = [_alike(part, parts[0].spec, of_classes) for part in repeat]
            rows = torch.cat([part.tested.rows for part in repeat])
            told = [part.tested.groups for part in repeat if part.tested.groups is not None]
            groups = torch.cat(told) if len(told) == len(repeat) else None
            outputs, targets = (torch.cat(tensors) for tensors in zip(*every, strict=True))
            found.append(intervals(outputs, targets, meter.metrics, meter.in_units, rows=rows, groups=groups))
        if len(found) == 1:
            known |= found[0].intervals
            continue
        means = {name: mean_draws([each.draws[name] for each in found]) for name in found[0].draws}
        known |= {name: percentiles(draws, found[0].num) for name, draws in means.items()}
    return {name: bound for name in _names(parts) if (bound := known.get(name))}


def _names(parts: Sequence[Part]) -> list[str]:
    return [*_meter(parts).metrics]


def _meter(parts: Sequence[Part]) -> Meter:
    run = Run(parts[0].job.folder)
    return metrics(config_of(run.folder), parts[0].spec, parts[0].tested.targets, run.meaning)[1]


def _meters(parts: Sequence[Part]) -> list[tuple[Meter, bool]]:
    """Return a meter of the metrics of predicted classes, for which each fold has its threshold, and one of the others.

    Whether it is the first is said with each; one without metrics is left out.
    """
    whole = _meter(parts)
    of_classes = {name: metric for name, metric in whole.metrics.items() if hasattr(metric, "cut")}
    cut_at(of_classes.values(), 0.5)
    others = {name: metric for name, metric in whole.metrics.items() if name not in of_classes}
    return [(Meter(found, whole.in_units), found is of_classes) for found in (of_classes, others) if found]


def _alike(part: Part, first: DataSpec, of_classes: bool) -> tuple[Tensor, Tensor]:
    """Return outputs and targets in the terms of the first fold.

    Those of a regression have its mean and scale; for metrics of predicted classes, the fold's threshold is at 0.
    """
    outputs, targets = part.tested.outputs, part.tested.targets
    if first.task == "regression":
        outputs, targets = (
            (part.spec.in_units(each.double()) - first.target_mean) / first.target_std for each in (outputs, targets)
        )
    elif of_classes and part.spec.threshold != 0.5:
        outputs = outputs.double() - math.log(part.spec.threshold / (1 - part.spec.threshold))
    return outputs, targets


def write(path: Path, configurations: Sequence[Sequence[Part]]) -> None:
    """Write a CSV file: row, fold, truth, prediction, and the probability of each class.

    Where there are several, `configuration` is the rank of each, and `repeat` counts the divisions into folds.
    """
    spec, several = configurations[0][0].spec, len(configurations) > 1
    divided = [repeats(parts) for parts in configurations]
    repeated = any(len(found) > 1 for found in divided)
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        titles = ["configuration"] * several + ["row"] + ["repeat"] * repeated + ["fold", "truth", *titles_of(spec)]
        writer.writerow(titles)
        for rank, found in enumerate(divided, 1):
            for number, parts in enumerate(found, 1):
                for part in parts:
                    for row, *cells in _rows(part):
                        writer.writerow([*[rank] * several, row, *[number] * repeated, part.number, *cells])


def _rows(part: Part) -> Iterator[list[object]]:
    """Yield row, truth, prediction and probabilities of each example, in the order of the data."""
    spec, (outputs, targets, rows, _) = part.spec, part.tested
    found = spec.predicted(outputs)
    chosen = spec.chosen(found) if spec.classes else found
    for at in rows.argsort().tolist():
        if spec.task == "regression":
            truth = float(spec.in_units(targets[at].double()))
            yield [int(rows[at]), f"{truth:.7g}", f"{float(found[at]):.7g}"]
        else:
            truth_name, chosen_name = spec.classes[int(targets[at])], spec.classes[int(chosen[at])]
            yield [int(rows[at]), truth_name, chosen_name, *(f"{chance:.6f}" for chance in found[at].tolist())]
