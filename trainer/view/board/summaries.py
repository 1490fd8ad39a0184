"""What a run writes to TensorBoard: which curves share a chart, pictures, PR curves, HParams, text as Markdown."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from google.protobuf.struct_pb2 import Struct
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard.summary import custom_scalars, pr_curve

from trainer.config.keys import flat
from trainer.view.layers import Layer
from trainer.view.outcome import Outcome, probabilities
from trainer.view.words import number

CLASSES = 20  # that get a curve


def layout(metrics: Sequence[str]) -> Summary:
    """Return a chart for each metric, with the curves of training and validation on it."""
    charts = {name: ["Multiline", [f"^train/{name}$", f"^val/{name}$"]] for name in metrics}
    return custom_scalars({"training and validation": charts})


def images(drawn: Mapping[str, Path], step: int) -> Iterator[tuple[int, Summary]]:
    """Yield PNG files as `plots/<name>`, without decoding them."""
    for name, path in drawn.items():
        image = Summary.Image(encoded_image_string=path.read_bytes())
        yield step, Summary(value=[Summary.Value(tag=f"plots/{name}", image=image)])


def pr_curves(outcome: Outcome, step: int) -> Iterator[tuple[int, Summary]]:
    """Yield the curve of each class against all others on the test split, at 127 thresholds.

    Of two classes it is the second; of many, the `CLASSES` that have most examples.
    """
    if not outcome.has_classes:
        return
    chances, true, names = probabilities(outcome.outputs), outcome.true_classes, outcome.class_names
    largest = torch.bincount(true, minlength=len(names)).argsort(descending=True, stable=True)[:CLASSES]
    for index in [1] if outcome.spec.task == "binary" else sorted(largest.tolist()):
        yield step, pr_curve(f"precision_recall/{names[index]}", (true == index).numpy(), chances[:, index].numpy())


def session_start(hyper_parameters: Mapping[str, bool | float | str]) -> Summary:
    """Return the values of the columns of HParams.

    A list of the columns is left out: TensorBoard would use the first that it finds for all runs. Without one it
    collects the columns from all runs, those that differ first.
    """
    values = Struct()
    values.update(hyper_parameters)
    info = SessionStartInfo(hparams=values.fields, start_time_secs=time.time())
    return _session(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(status: int) -> Summary:
    """Return how a run ended; `status` is one of those in `tensorboard.plugins.hparams.api_pb2`."""
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    return _session(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _session(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])


def code(source: str) -> str:
    """Quote text in Markdown, so that it is shown as it is."""
    return "\n".join(f"    {line}" for line in source.splitlines())


def layers(rows: Sequence[Layer]) -> str:
    """Return the model table as Markdown, a row per layer."""
    body = [(row.name, row.kind, str(row.shape), f"{row.num_parameters:,}") for row in rows]
    return _table(("layer", "kind", "output", "parameters"), body)


def results(rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Return the results table as Markdown, a column per metric."""
    names = [*dict.fromkeys(name for _, values in rows for name in values)]
    body = [[title, *(number(values[name]) if name in values else "" for name in names)] for title, values in rows]
    return _table(["", *names], body)


def environment(found: Mapping[str, Any]) -> str:
    """Return a table of all values as Markdown, those in mappings with dotted keys."""
    values = {key: shlex.join(value) if key == "command" else str(value) for key, value in flat(found).items()}
    return _table(("what", "value"), [*values.items()])


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows)
