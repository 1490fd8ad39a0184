"""What cross-validation says of each example: the prediction of the model that was not trained on it."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from trainer.build.training import metrics
from trainer.data import description
from trainer.data.tensors import DataSpec
from trainer.engine.loop import evaluate
from trainer.engine.trace import KeepingMeter
from trainer.errors import CheckpointError
from trainer.files import replacing
from trainer.runs import checkpoints, tested
from trainer.runs.leaderboard import Job
from trainer.runs.run import Run
from trainer.runs.tested import Tested
from trainer.trained.model import config_of, load_one
from trainer.trained.new_data import own_test
from trainer.trained.predictions import titles_of

FILE = "predictions.csv"  # in the folder of the sweep


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
        raise CheckpointError(f"{job.folder}: fold={fold} is none of folds={cfg.folds} repeats={cfg.repeats}")
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
        outputs, targets = meter.outputs()
        parts.append(placed(job, model.spec, Tested(outputs, targets, batches.rows[: len(targets)])))
        notes += [*model.notes, *more]
    return parts, list(dict.fromkeys(notes))


def measured(parts: Sequence[Part]) -> dict[str, float]:
    """Return the metrics over the examples of all folds at once, the mean over repeats."""
    cfg, first = config_of(parts[0].job.folder), parts[0].spec
    _, meter, _ = metrics(cfg, first, Run(parts[0].job.folder).f1)
    found = []
    for repeat in repeats(parts):
        for part in repeat:
            outputs, targets = part.tested.outputs, part.tested.targets
            if first.task == "regression":  # each fold has units of its own
                outputs, targets = (
                    (part.spec.in_units(values.double()) - first.target_mean) / first.target_std
                    for values in (outputs, targets)
                )
            meter.update(outputs, targets, torch.zeros(()))
        found.append({name: value for name, value in meter.compute().items() if name != "loss"})
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


def write(folder: Path, configurations: Sequence[Sequence[Part]]) -> Path:
    """Write predictions.csv and return its path: row, fold, truth, prediction, and the probability of each class.

    Where there are several, `configuration` is the rank of each, and `repeat` counts the divisions into folds.
    """
    spec, several = configurations[0][0].spec, len(configurations) > 1
    divided = [repeats(parts) for parts in configurations]
    repeated = any(len(found) > 1 for found in divided)
    path = folder / FILE
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        titles = ["configuration"] * several + ["row"] + ["repeat"] * repeated + ["fold", "truth", *titles_of(spec)]
        writer.writerow(titles)
        for rank, found in enumerate(divided, 1):
            for number, parts in enumerate(found, 1):
                for part in parts:
                    for row, *cells in _rows(part):
                        writer.writerow([*[rank] * several, row, *[number] * repeated, part.number, *cells])
    return path


def _rows(part: Part) -> Iterator[list[object]]:
    """Yield row, truth, prediction and probabilities of each example, in the order of the data."""
    spec, (outputs, targets, rows) = part.spec, part.tested
    found = spec.predicted(outputs)
    for at in rows.argsort().tolist():
        if spec.task == "regression":
            truth = float(spec.in_units(targets[at].double()))
            yield [int(rows[at]), f"{truth:.7g}", f"{float(found[at]):.7g}"]
        else:
            chances = found[at].tolist()
            best = chances.index(max(chances))
            truth_name = spec.classes[int(targets[at])]
            yield [int(rows[at]), truth_name, spec.classes[best], *(f"{chance:.6f}" for chance in chances)]
