"""`dltrain export`: write a trained model as a file that other programs can load without this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.cli.settings import Setting, Settings, Usage
from trainer.errors import CheckpointError, DltrainError, FileSystemError, check_new, naming
from trainer.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.trained.model import Trained

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "format": Setting(
            "torch (torch.export), onnx, or safetensors (weights only)", None, ("torch", "onnx", "safetensors")
        ),
        "output": Setting("the file; by default <model>-<data> with the suffix of the format", ""),
    },
    examples=(
        "dltrain export run=last format=onnx                    writes simple_cnn-digits.onnx and .onnx.json",
        "dltrain export run=last format=torch output=digits.pt2",
    ),
)
EXAMPLES_COMPARED = 64
TOLERANCE = 1e-4  # absolute, or relative where outputs are larger than 1


def main(given: Settings) -> None:
    """Export a model, compare the file's outputs with the model's, and print how to use it.

    Raises:
        DltrainError: no such run, a model that the format cannot hold, or a file with other outputs.
    """
    from trainer.trained import export as exporting
    from trainer.trained import model as trained
    from trainer.view.console import shown

    form = given.values["format"]
    model = trained.load(given.values["run"], "cpu")
    path = Path(given.values["output"] or model.name + exporting.SUFFIXES[form]).expanduser()
    beside = path.with_name(f"{path.name}.json")
    for file in (path, beside):
        check_new(file)
    if not path.absolute().parent.is_dir():
        raise FileSystemError(f"{path.absolute().parent}: no such folder")
    inputs, what = _examples(model)
    net = model.model if form == "safetensors" else exporting.portable(model.model)
    typed = inputs.to(next(net.parameters()).dtype) if inputs.is_floating_point() else inputs
    with naming(path):
        with replacing(path) as part:
            exporting.write(net, typed[:2].clone(), form, part)
            worst = _worst(model, exporting.reader(form, part, model.model), typed)
            about = _about(model, form, path.name, typed)
        beside.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(f"wrote     {shown(path)} ({path.stat().st_size:,} bytes), and {shown(beside)} about it")
    print(f"compared  with the model on {len(inputs)} {what}: the largest difference is {worst:.1e}")
    print("to use it", *(f"    {line}" for line in about["use"]), sep="\n")


def _examples(model: Trained) -> tuple[Tensor, str]:
    """Return inputs `(N, *in_shape)` of the test split or, if the data is missing, random ones; and what they are."""
    import torch

    from trainer.build import parts

    try:
        loaders, spec = parts.data(model.cfg, model.device)
        if spec.in_shape == model.spec.in_shape and spec.vocab_size == model.spec.vocab_size:
            inputs = next(iter(loaders.test))[0][:EXAMPLES_COMPARED]
            if len(inputs) > 1:
                # in the usual memory layout, as float32 or int64: what other programs have
                return (inputs.float() if inputs.is_floating_point() else inputs.long()).contiguous(), "test examples"
    except DltrainError:
        pass  # random inputs will do
    generator = torch.Generator().manual_seed(0)
    shape = (EXAMPLES_COMPARED, *model.spec.in_shape)
    if model.spec.vocab_size is None:
        return torch.randn(shape, generator=generator), "random inputs"
    tokens = torch.randint(1, model.spec.vocab_size, shape, generator=generator)
    lengths = torch.randint(1, shape[1] + 1, (shape[0], 1), generator=generator)
    return tokens * (torch.arange(shape[1]) < lengths), "random inputs"


def _worst(model: Trained, exported: Any, inputs: Tensor) -> float:
    """Return the largest difference between the file's and the model's outputs, relative where those exceed 1.

    Raises:
        CheckpointError: it exceeds TOLERANCE.
    """
    import torch

    parameter = next(model.model.parameters())
    with torch.no_grad():
        expected = model.model(inputs.to(parameter.dtype) if inputs.is_floating_point() else inputs).double()
        # One by one too: an exported graph may work only for some batch sizes.
        found = [exported(inputs).double(), torch.cat([exported(one[None]).double() for one in inputs])]
    scale = expected.abs().clamp_min(1)
    worst = max(float(((each - expected).abs() / scale).max()) for each in found)
    if not worst <= TOLERANCE:
        raise CheckpointError(f"the file's outputs differ from the model's by {worst:.2g}; the file was deleted")
    return worst


def _about(model: Trained, form: str, file: str, inputs: Tensor) -> dict[str, Any]:
    """Describe the file for other programs."""
    from trainer.trained import export as exporting

    spec = model.spec
    outputs = {
        "regression": "(batch, 1), standardised: multiply by target_std and add target_mean",
        "binary": "(batch, 1), a logit: its sigmoid is the probability of the second class",
        "multiclass": f"(batch, {spec.out_features}), logits: their softmax is the probability of each class",
    }
    described = json.loads(model.description)["spec"]
    return {
        "file": file,
        "format": form,
        "run": str(model.folder.absolute()),
        "inputs": {"shape": ["batch", *spec.in_shape], "dtype": str(inputs.dtype).removeprefix("torch.")},
        "outputs": outputs[spec.task],
        "task": spec.task,
        "class_names": list(spec.class_names),
        "target": {key: described[key] for key in ("target_name", "target_mean", "target_std")},
        "preprocessing": {"how": HOW[spec.kind], **(described["encoder"] or {})},
        "use": [line.format(file=file) for line in exporting.USES[form]],
    }


HOW = {  # how inputs are encoded
    "features": "one input per column, (value - mean) / std; a categorical column has one per category, 1 or 0",
    "image": "pixels from 0 to largest, channels first, grey or RGB, of this size: (pixel - mean) / std",
    "tokens": "index of each token in tokens, plus 2; 1 for unknown tokens; padded with 0 to max_length",
}
