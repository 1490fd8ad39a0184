"""`dltrain predict`: predict for images, rows of a table, or texts with a trained model."""

import sys

from trainer.cli.settings import TRUST, Setting, Settings, Usage
from trainer.errors import ConfigError

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "input": Setting(
            "images: file, folder or glob; table: CSV file; texts: a,b or a file, one per line; - is stdin", ""
        ),
        "output": Setting("CSV file to write, - for the terminal; default for a table: <input>-predictions.csv", ""),
        "unknown": Setting("words of a table that training does not know: note or error", "", ("", "note", "error")),
        "device": Setting("auto, cpu, cuda, ...; the run's own by default", ""),
        "trust": TRUST,
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


def main(given: Settings) -> None:
    """Read, predict, and print or write.

    Raises:
        DltrainError: no such run, or an input that the model cannot read.
    """
    asked = given.values["input"]
    if not (asked or given.words):
        raise ConfigError(f"dltrain predict: input= is needed: {USAGE.settings['input'].about}")
    if asked and given.words:
        raise ConfigError(f"dltrain predict: got both {given.words[0]!r} and input={asked}; give one of the two")

    from trainer.trained import model as trained
    from trainer.trained import predictions
    from trainer.trained.new_data import encoder_of

    model = trained.load(given.values["run"], given.values["device"], trust=given.values["trust"] == "true")
    encoder_of(model.spec)
    if given.values["unknown"]:
        model.cfg.data.unknown = given.values["unknown"]
    print(*(f"note   {note}" for note in model.notes), sep="\n", end="\n" if model.notes else "", file=sys.stderr)
    predict = {"features": predictions.of_table, "image": predictions.of_images, "tokens": predictions.of_texts}
    predict[model.spec.kind](model, given.words or [asked], given.values["output"])
