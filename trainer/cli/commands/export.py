"""`dltrain export`: write a trained model as a file that other programs can load without this package."""

import json
from pathlib import Path

from trainer.cli.settings import TRUST, Setting, Settings, Usage
from trainer.errors import FileSystemError, check_new, naming
from trainer.files import replacing

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "format": Setting(
            "torch (torch.export), onnx, or safetensors (weights only)", None, ("torch", "onnx", "safetensors")
        ),
        "output": Setting("the file; by default <model>-<data> with the suffix of the format", ""),
        "trust": TRUST,
    },
    examples=(
        "dltrain export run=last format=onnx                    writes simple_cnn-digits.onnx and .onnx.json",
        "dltrain export run=last format=torch output=digits.pt2",
    ),
)


def main(given: Settings) -> None:
    """Export a model, compare the file's outputs with the model's, and print how to use it.

    Raises:
        DltrainError: no such run, a model that the format cannot hold, or a file with other outputs.
    """
    from trainer.trained import export as exporting
    from trainer.trained import model as trained
    from trainer.view.console import shown

    form = given.values["format"]
    model = trained.load(given.values["run"], "cpu", trust=given.values["trust"] == "true")
    path = Path(given.values["output"] or model.name + exporting.SUFFIXES[form]).expanduser()
    beside = path.with_name(f"{path.name}.json")
    for file in (path, beside):
        check_new(file)
    if not path.absolute().parent.is_dir():
        raise FileSystemError(f"{path.absolute().parent}: no such folder")
    inputs, what = exporting.examples(model)
    net = model.model if form == "safetensors" else exporting.portable(model.model)
    typed = inputs.to(next(net.parameters()).dtype) if inputs.is_floating_point() else inputs
    with naming(path):
        with replacing(path) as part:
            exporting.write(net, typed[:2].clone(), form, part)
            worst = exporting.worst_difference(model.model, exporting.reader(form, part, model.model), typed)
            about = exporting.about(model, form, path.name, typed)
        beside.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(f"wrote     {shown(path)} ({path.stat().st_size:,} bytes) and its description, {shown(beside)}")
    print(f"compared  with the model on {len(inputs)} {what}: the largest difference is {worst:.1e}")
    print("to use it", *(f"    {line}" for line in about["use"]), sep="\n")
