"""`dltrain importance`: show which columns, pixels or words decide what a trained model predicts."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.cli.settings import TRUST, Setting, Settings, Usage
from trainer.config.keys import key_of
from trainer.errors import ConfigError, nearest
from trainer.runs.index import find, new_folder
from trainer.view.table import Column, say, show
from trainer.view.words import cut, number, shown

if TYPE_CHECKING:
    from trainer.data.tensors import DataSpec
    from trainer.trained.model import Trained
    from trainer.trained.reasons import Columns, Example

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "input": Setting("images or texts to explain, as for dltrain predict; by default some of the test split", ""),
        "device": Setting("auto, cpu, cuda, ...; the run's own by default", ""),
        "trust": TRUST,
    },
    examples=(
        "dltrain importance run=last                     a table: how much worse without each column",
        "dltrain importance run=last                     images, texts: the worst mistakes, and some others",
        "dltrain importance run=last input=digit.png     or input=photos, or input='photos/*.jpg'",
        "dltrain importance run=last input='what a joy to see'",
    ),
    overrides=True,
)
TOP = 5  # tokens to print of a text
NAME = 40  # characters


def main(given: Settings) -> None:
    """Print a table, and write importance.csv and importance.png.

    Raises:
        DltrainError: no such run, or an input that the model cannot read.
    """
    if others := [line for line in given.overrides if not line.startswith("data.")]:
        raise ConfigError(f"dltrain importance: {others[0]!r}: {nearest(key_of(others[0]), USAGE.settings)}")
    from trainer.runs.folds import folds_of
    from trainer.trained import model as trained
    from trainer.trained import reasons

    folds = folds_of(given.values["run"])
    folder = folds.jobs[0].folder if folds else find(given.values["run"])
    model = trained.load_one(folder, given.values["device"], trust=given.values["trust"] == "true")
    inputs = [given.values["input"]] if given.values["input"] else []
    say(f"run    {shown(model.folder)} ({model.name}), weights of the best epoch, on {model.device}")
    if folds:
        say(f"       one of {len(folds.jobs)} folds; run= names another, such as run={shown(folds.jobs[-1].folder)}")
    if model.spec.kind == "features":
        if inputs:
            raise ConfigError(
                "dltrain importance: input= is for images and texts; columns are shuffled in the test split"
            )
        columns, notes = reasons.of_columns(model, given.overrides)
        _say_notes(model, notes)
        _of_columns(model, columns)
    else:
        examples, notes = reasons.of_examples(model, inputs, given.overrides)
        _say_notes(model, notes)
        (_of_images if model.spec.kind == "image" else _of_texts)(model, examples)


def _say_notes(model: "Trained", notes: Sequence[str]) -> None:
    say(*(f"       {note}" for note in (*model.notes, *notes)))


def _of_columns(model: "Trained", columns: "Columns") -> None:
    from trainer.engine.importance import REPEATS
    from trainer.view import style
    from trainer.view.plots.importance import importance_picture

    judge, found = columns.judge, columns.found
    change = "drop" if judge.sign > 0 else "rise"
    say(
        f"data   test: {columns.num_examples:,} examples, {judge.metric} {number(columns.score)}",
        f"       its {change} when a column is shuffled, mean of {REPEATS} shuffles and 95 % interval of that mean",
        "",
    )
    largest = max(max(map(abs, each[1:])) for each in found) or 1.0
    decimals = max(0, 3 - math.floor(math.log10(largest)))
    drops, lows, highs = zip(*([f"{value:.{decimals}f}" for value in each[1:]] for each in found), strict=True)
    show(
        [
            Column("column", [each.name for each in found], keep=2),
            Column(change, drops, right=True, keep=3),
            Column("95 % from", lows, right=True),
            Column("to", highs, right=True),
        ]
    )
    folder = _folder(model)
    _write(folder, ["column", change, "low", "high"], found)
    with style.look():
        made = importance_picture(found, judge, columns.score, columns.num_examples, f"{model.name}: ")
        _save(made, folder)


def _of_images(model: "Trained", examples: Sequence["Example"]) -> None:
    import torch

    from trainer.view import style
    from trainer.view.plots.attributions import images_picture

    _say_examples(model.spec, examples, [""] * len(examples))
    captions = [
        "\n".join([Path(each.name).stem[-18:], each.predicted, *([f"true {each.true}"] if each.true else [])])
        for each in examples
    ]
    stored, values = (
        torch.stack(each) for each in zip(*((e.stored, e.attribution.values) for e in examples), strict=True)
    )
    with style.look():
        _save(images_picture(f"{model.name}: integrated gradients", stored, values, captions), _folder(model))


def _of_texts(model: "Trained", examples: Sequence["Example"]) -> None:
    from trainer.data._vocabulary import PADDING, Vocabulary
    from trainer.view import style
    from trainer.view.plots.attributions import texts_picture

    encoder, texts, values = model.spec.encoder, list[list[str]](), list[list[float]]()
    for each in examples:
        tokens = each.stored.tolist()
        texts.append(encoder.pieces(tokens) if isinstance(encoder, Vocabulary) else [str(t) for t in tokens if t])
        values.append(
            [value for value, t in zip(each.attribution.values.tolist(), tokens, strict=True) if t != PADDING]
        )
    details = []
    for tokens, found in zip(texts, values, strict=True):
        largest = sorted(zip(tokens, found, strict=True), key=lambda pair: -abs(pair[1]))[:TOP]
        details.append("  ".join(f"{token} {value:+.2f}" for token, value in largest))
    _say_examples(model.spec, examples, details)
    folder = _folder(model)
    rows = [
        (each.name, place, token, value)
        for each, tokens, found in zip(examples, texts, values, strict=True)
        for place, (token, value) in enumerate(zip(tokens, found, strict=True))
    ]
    _write(folder, ["input", "place", "token", "attribution"], rows)
    captions = [
        f"{cut(each.name, NAME)}: {each.predicted}{f', true {each.true}' * bool(each.true)}" for each in examples
    ]
    with style.look():
        _save(texts_picture(f"{model.name}: integrated gradients", texts, values, captions), folder)


def _say_examples(spec: "DataSpec", examples: Sequence["Example"], details: Sequence[str]) -> None:
    """Print a row for each, and how well its attributions add up."""
    from trainer.engine.attribution import TOLERANCE

    what = "value" if spec.task == "regression" else "log-odds of the predicted class"
    blank = "a text without words" if spec.kind == "tokens" else "an image of the average shade"
    say(f"data   {len(examples)} examples; the model says the {what}, and the same of a blank input, {blank}", "")
    show(
        [
            Column("input", [cut(each.name, NAME) for each in examples], keep=3),
            Column("true", [each.true for each in examples], keep=2),
            Column("predicted", [each.predicted for each in examples], keep=4),
            Column("says", [number(each.attribution.said) for each in examples], right=True),
            Column("of blank", [number(each.attribution.blank) for each in examples], right=True),
            Column("largest attributions", details, keep=1),
        ]
    )
    gap = max(each.attribution.gap for each in examples)
    short = "" if gap <= TOLERANCE else f"; more than {100 * TOLERANCE:g} % means that they are not exact"
    say(
        "",
        f"attributions add up to what the model says, less what it says of a blank input, to {100 * gap:.2g} %{short}",
    )


def _folder(model: "Trained") -> Path:
    return new_folder(f"importance-{model.name}")


def _write(folder: Path, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with (folder / "importance.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([titles, *rows])
    say("", f"table      {shown(folder / 'importance.csv')}")


def _save(picture: object, folder: Path) -> None:
    from trainer.view import style

    style.save(picture, folder / "importance.png")  # type: ignore[arg-type]
    say(f"picture    {shown(folder / 'importance.png')}")
