"""`dltrain predict`: predict for images, rows of a table, or texts with a trained model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trainer.cli.settings import Setting, Settings, Usage
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from trainer.trained.model import Trained

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "input": Setting(
            "images: file, folder or glob; table: CSV file; texts: a,b or a file, one per line; - is stdin", ""
        ),
        "output": Setting("CSV file to write, - for the terminal; default for a table: <input>-predictions.csv", ""),
        "device": Setting("auto, cpu, cuda, ...; the run's own by default", ""),
    },
    examples=(
        "dltrain predict run=last input=digit.png               a drawing of any size, dark on light or light on dark",
        "dltrain predict run=last photos/*.jpg                  or input=photos, or input='photos/*.jpg'",
        "dltrain predict run=last input=houses.csv              writes houses-predictions.csv",
        "dltrain predict run=last input=Schmidt,Rossi",
        "cat names.txt | dltrain predict run=last input=-",
    ),
    words="several inputs, instead of input=",
)
BATCH = 256  # examples; more would be hardly faster


def main(given: Settings) -> None:
    """Read, predict, and print or write.

    Raises:
        DltrainError: no such run, or an input that the model cannot read.
    """
    asked, output = given.values["input"], given.values["output"]
    if not (asked or given.words):
        raise ConfigError(f"dltrain predict: input= is needed: {USAGE.settings['input'].about}")
    if asked and given.words:
        raise ConfigError(f"dltrain predict: got both {given.words[0]!r} and input={asked}; give one of the two")

    from trainer.trained import model as trained
    from trainer.trained.new_data import encoder_of

    model = trained.load(given.values["run"], given.values["device"])
    encoder_of(model.spec)
    print(*(f"note   {note}" for note in model.notes), sep="\n", end="\n" if model.notes else "", file=sys.stderr)
    inputs = given.words or [asked]
    {"features": _table, "image": _images, "tokens": _texts}[model.spec.kind](model, inputs, output)


def _table(model: Trained, inputs: list[str], output: str) -> None:
    from trainer.trained.predictions import default_name, table_predictions

    if len(inputs) > 1:
        raise ConfigError(f"dltrain predict: expected one table, got {len(inputs)}")
    table_predictions(model, inputs[0], output or default_name(inputs[0]))


def _images(model: Trained, inputs: list[str], output: str) -> None:
    from trainer.data.folder import files_like_training
    from trainer.trained.inputs import image_paths
    from trainer.trained.predictions import print_or_write

    paths = image_paths(inputs)
    files = files_like_training(paths, model.spec.encoder)  # type: ignore[arg-type]
    starts = range(0, len(paths), BATCH)
    batches = (files.read(range(start, min(start + BATCH, len(paths)))) for start in starts)
    print_or_write(model, paths, model.outputs(batches), output)


def _texts(model: Trained, inputs: list[str], output: str) -> None:
    from trainer.data._vocabulary import Vocabulary
    from trainer.trained.inputs import texts_of
    from trainer.trained.predictions import print_or_write

    texts, encoder = texts_of(inputs), model.spec.encoder
    assert isinstance(encoder, Vocabulary)
    batches = (encoder.encode(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
    print_or_write(model, texts, model.outputs(batches), output)
