"""The last layer's view of test examples, as files for TensorBoard's projector: vectors, labels and small pictures.

`n` is the number of examples, `D` the number of inputs of the last layer.
"""

import math
from pathlib import Path

import torch
from google.protobuf.text_format import MessageToString
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.view.outcome import Outcome, probabilities

EXAMPLES = 1000
NUMBERS = 1_000_000  # in all vectors: wider layers have fewer of them
PIXELS = 32  # longer side of a small picture


def write(folder: Path, outcome: Outcome) -> None:
    """Write the files below the folder of the run's events, where TensorBoard looks for them."""
    vectors, pictures = last_inputs(outcome)
    if vectors.shape[1] < 3:
        return  # the page has three axes, and waits forever for a third
    (folder / "projector").mkdir(exist_ok=True)
    config = ProjectorConfig()
    embedding = config.embeddings.add(tensor_name="last layer", tensor_path="projector/vectors.tsv")
    _write_table(folder / embedding.tensor_path, [[f"{v:.4g}" for v in row] for row in vectors.tolist()])
    embedding.metadata_path = "projector/labels.tsv"
    _write_table(folder / embedding.metadata_path, labels(outcome, len(vectors)))
    if pictures is not None:
        embedding.sprite.image_path = "projector/sprite.png"
        embedding.sprite.single_image_dim.extend([pictures.shape[3], pictures.shape[2]])
        Image.fromarray(sprite(pictures).numpy()).save(folder / embedding.sprite.image_path, optimize=True)
    (folder / "projector_config.pbtxt").write_text(MessageToString(config), encoding="utf-8")


def _write_table(path: Path, rows: list[list[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


@torch.no_grad()
def last_inputs(outcome: Outcome) -> tuple[Tensor, Tensor | None]:
    """Return what the last linear layer reads of the first test examples, `(n, D)`, and pictures `(n, C, H, W)`.

    A model whose last layer does not read a row for each example, or that has none, is shown by its outputs. Only
    images have pictures.
    """
    model = outcome.eager()
    seen: list[Tensor] = []  # what each linear layer reads of a batch
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    vectors, pictures, wanted = [], [], EXAMPLES
    for inputs, _ in outcome.data.test:
        seen.clear()
        outputs = model(inputs)
        last = seen[-1] if seen and len(seen[-1]) == len(inputs) else outputs
        vectors.append(last.float().flatten(1).cpu())
        if outcome.spec.kind == "image":
            pictures.append(small(inputs.float().cpu()))
        wanted = min(EXAMPLES, NUMBERS // vectors[0].shape[1], len(outcome.outputs))
        if sum(map(len, vectors)) >= wanted:
            break
    return torch.cat(vectors)[:wanted], torch.cat(pictures)[:wanted] if pictures else None


def small(images: Tensor) -> Tensor:
    """Scale images so that their longer side is `PIXELS`; pixels are averaged, or shown larger."""
    height, width = images.shape[2:]
    scale = PIXELS / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return F.interpolate(images, size, mode="area" if scale < 1 else "nearest")


def sprite(images: Tensor) -> Tensor:
    """Tile `(n, C, H, W)` in a square, row by row: bytes `(rows * H, columns * W, 3)`.

    The darkest pixel of each channel is black, the brightest white, which undoes that the model's are standardised.
    """
    low, high = images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True)
    scaled = ((images - low) / (high - low).clamp_min(1e-12) * 255).round().byte()
    colours = scaled if images.shape[1] == 3 else scaled[:, :1].expand(-1, 3, -1, -1)
    side = math.ceil(math.sqrt(len(images)))
    padded = F.pad(colours, (0, 0, 0, 0, 0, 0, 0, side * side - len(images)))  # (side * side, 3, H, W)
    height, width = padded.shape[2:]
    grid = padded.reshape(side, side, 3, height, width)
    return grid.permute(0, 3, 1, 4, 2).reshape(side * height, side * width, 3).contiguous()


def labels(outcome: Outcome, count: int) -> list[list[str]]:
    """Return a head, and a row for each of the first test examples: what is true, what was predicted."""
    spec, outputs, targets = outcome.spec, outcome.outputs[:count], outcome.targets[:count]
    if not outcome.has_classes:
        values = (spec.in_units(v).flatten().tolist() for v in (targets, outputs))
        rows = [[f"{v:.4g}" for v in row] for row in zip(*values, strict=True)]
        return [[spec.target_name, "predicted"], *rows]
    names, true = outcome.class_names, outcome.true_classes[:count].tolist()
    predicted = probabilities(outputs).argmax(1).tolist()
    rows = [[names[t], names[p], "right" if t == p else "wrong"] for t, p in zip(true, predicted, strict=True)]
    return [["label", "predicted", "result"], *rows]
