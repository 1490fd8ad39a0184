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
    spec: DataSpec
    tested: Tested

    @property
    def place(self) -> tuple[int, int]:
        """The repeat and the fold in it, from 1."""
        folds = int(Run(self.job.folder).config["folds"])
        number = int(self.job.values["fold"]) - 1
        return number // folds + 1, number % folds + 1


def part_of(job: Job) -> Part:
    """Read what a fold has recorded.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    files = Run(job.folder).files
    spec = description.loads(checkpoints.Store(files.checkpoints).read("best").data or b"").spec
    return Part(job, spec, tested.of(files.tested))


def again(jobs: Sequence[Job], overrides: list[str], device: str, trust: bool) -> tuple[list[Part], list[str]]:
    """Test the model of each fold once more on its own test split, and return notes to print."""
    parts, notes = [], []
    for job in jobs:
        model = load_one(job.folder, device, trust=trust)
        batches, more = own_test(model, overrides)
        meter = KeepingMeter(model.meter)
        evaluate(model.model, model.loss, batches, meter, autocast=model.autocast)
        outputs, targets = meter.outputs()
        parts.append(Part(job, model.spec, Tested(outputs, targets, batches.rows[: len(targets)])))
        notes += [*model.notes, *more]
    return parts, list(dict.fromkeys(notes))


def measured(parts: Sequence[Part]) -> dict[str, float]:
    """Return the metrics over the examples of all folds at once, the mean over repeats."""
    cfg, first = config_of(parts[0].job.folder), parts[0].spec
    _, meter, _ = metrics(cfg, first, Run(parts[0].job.folder).f1)
    found = []
    for repeat in sorted({part.place[0] for part in parts}):
        for part in parts:
            if part.place[0] == repeat:
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
    repeated = any(part.place[0] > 1 for parts in configurations for part in parts)
    path = folder / FILE
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        titles = ["configuration"] * several + ["row"] + ["repeat"] * repeated + ["fold", "truth", *titles_of(spec)]
        writer.writerow(titles)
        for rank, parts in enumerate(configurations, 1):
            for part in sorted(parts, key=lambda part: part.place):
                repeat, fold = part.place
                for row, *cells in _rows(part):
                    writer.writerow([*[rank] * several, row, *[repeat] * repeated, fold, *cells])
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
