"""`dltrain predict`: predict for images, rows of a table, or texts with a trained model."""

import sys

from trainer.cli.settings import TRUST, Setting, Settings, Usage, count
from trainer.config.keys import key_of
from trainer.errors import ConfigError, nearest

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "input": Setting(
            "images: file, folder or glob; table: CSV file; texts: a,b, a table, or a file, one per line; - is stdin",
            "",
        ),
        "output": Setting(
            "file to write: .csv, .tsv, .jsonl, .json; - is the terminal; default for a table: <input>-predictions.csv",
            "",
        ),
        "json": Setting("true, or --json: JSON, an object per line", "false", ("true", "false")),
        "top": count("number of classes to print or write, with their probabilities", "a whole number of at least 1"),
        "unknown": Setting("words and categories that training does not know: note or error", "", ("note", "error")),
        "device": Setting("auto, cpu, cuda, ...; the run's own by default", ""),
        "trust": TRUST,
    },
    examples=(
        "dltrain predict run=last input=digit.png               a drawing of any size, dark on light or light on dark",
        "dltrain predict run=last photos/*.jpg                  or input=photos, or input='photos/*.jpg'",
        "dltrain predict run=last input=houses.csv              writes houses-predictions.csv",
        "dltrain predict run=last input=Schmidt,Rossi",
        "cat names.txt | dltrain predict run=last input=-",
        "dltrain predict run=last input=reviews.csv data.text=comment output=predicted.jsonl top=2",
    ),
    words="several inputs, instead of input=",
    overrides=True,
)


def main(given: Settings) -> None:
    """Read, predict, and print or write.

    Raises:
        DltrainError: no such run, or an input that the model cannot read.
    """
    if others := [line for line in given.overrides if not line.startswith("data.")]:
        hint = nearest(key_of(others[0]), USAGE.settings)
        raise ConfigError(f"dltrain predict: {others[0]!r}: {hint}")
    asked = given.values["input"]
    if not (asked or given.words):
        raise ConfigError(f"dltrain predict: input= is required: {USAGE.settings['input'].about}")
    if asked and given.words:
        raise ConfigError(f"dltrain predict: got both {given.words[0]!r} and input={asked}; give one of the two")

    from trainer.trained import model as trained
    from trainer.trained import predictions
    from trainer.trained.new_data import encoder_of

    model = trained.load(given.values["run"], given.values["device"], trust=given.values["trust"] == "true")
    encoder_of(model.spec)
    print(*(f"note   {note}" for note in model.notes), sep="\n", end="\n" if model.notes else "", file=sys.stderr)
    unknown = given.values["unknown"]
    predictions.predict(
        model,
        predictions.Wanted(
            given.words or [asked],
            given.values["output"],
            as_json=given.values["json"] == "true",
            top=int(given.values["top"] or 0) or None,
            overrides=[*given.overrides, *([f"data.unknown={unknown}"] if unknown else [])],
        ),
    )
