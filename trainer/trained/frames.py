"""Predict for what a Python program holds: frames, arrays, texts and paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from trainer.data._image.encoder import ImageEncoder
from trainer.data._table.encoder import TableEncoder
from trainer.data._vocabulary import Vocabulary
from trainer.engine.numerics import choose_precision, seed_everything
from trainer.errors import DataError
from trainer.trained.inputs import (
    BATCH,
    image_paths,
    images_like_training,
    parts,
    rows_like_training,
    texts_of,
    with_text,
)
from trainer.trained.model import Trained
from trainer.trained.new_data import OF_TEXTS, encoder_of, how, with_data
from trainer.trained.predictions import AT_ONCE, say, titles_of

if TYPE_CHECKING:
    import pandas as pd

    Inputs: TypeAlias = pd.DataFrame | pd.Series | np.ndarray | Tensor | str | Path | Sequence[str | Path]


class _Read(NamedTuple):
    batches: Iterable[Tensor]  # stored, of those inputs that have a prediction
    index: Any  # of all inputs: a sequence, or an index of pandas
    places: Sequence[int]  # in the index, of those with a prediction
    notes: list[str]  # complete when all batches are read


def predict(model: Trained, inputs: Inputs) -> pd.DataFrame:
    """Return a row per input: `prediction` and, unless that is a number, `probability NAME` of each class.

    Args:
        model: what to predict with.
        inputs: for a table, a DataFrame with the columns of training, an array `(N, F)` of these columns in their
            order, or a CSV file. For images, files, folders and patterns, or an array of integers `(N, H, W)` or
            `(N, H, W, C)` as in training. For texts, a text, a sequence of them, or a Path to a file with
            one per line; an empty text has no prediction. Rows are indexed like a DataFrame or Series, by path, or
            from 0.

    Raises:
        DataError: inputs that the model cannot read.
    """
    import pandas as pd

    choose_precision(model.cfg.precision, model.device)
    seed_everything(model.cfg.seed, model.cfg.deterministic)
    encoder = encoder_of(model.spec)
    reads = _table if isinstance(encoder, TableEncoder) else _images if isinstance(encoder, ImageEncoder) else _texts
    read = reads(model, encoder, inputs)
    outputs = torch.cat([*model.outputs(read.batches)]).numpy()  # (N, K) or (N,)
    say(read.notes)
    found = [outputs]
    if model.spec.task != "regression":
        found = [np.array(model.spec.classes, dtype=object)[outputs.argmax(1)], *outputs.T]
    frame = pd.DataFrame(dict(zip(titles_of(model.spec), found, strict=True)), index=read.places)
    return frame.reindex(range(len(read.index))).set_axis(read.index)


def _table(model: Trained, encoder: TableEncoder, inputs: Any) -> _Read:
    import pandas as pd

    data: dict[str, Any] = dict(model.cfg.data)
    if isinstance(inputs, (str, Path)):
        _, rows, notes = rows_like_training(str(Path(inputs).expanduser()), encoder, data)
        return _Read(rows.split(AT_ONCE), range(len(rows)), range(len(rows)), notes)
    names, header = list(encoder.names), bool(data.get("header", True))
    if not isinstance(inputs, pd.DataFrame):
        cells = np.asarray(inputs)
        if cells.ndim != 2 or cells.shape[1] != len(names) or not header:
            expected = f"an array (N, {len(names)}) of the columns {', '.join(names[:10])}"
            raise DataError(f"expected {expected}, or a DataFrame with them; got {type(inputs).__name__} {cells.shape}")
        inputs = pd.DataFrame(cells, columns=names)
    with TemporaryDirectory() as folder:
        path, decimal = Path(folder) / "frame.csv", "," if data.get("decimal") in (",", "comma") else "."
        inputs.convert_dtypes().to_csv(path, sep=";", index=False, header=header, decimal=decimal)
        try:
            _, rows, notes = rows_like_training(str(path), encoder, data | {"separator": ";", "encoding": "utf-8"})
        except DataError as error:
            raise DataError(str(error).replace(str(path), "the DataFrame as CSV")) from None
    return _Read(rows.split(AT_ONCE), inputs.index, range(len(rows)), notes)


def _images(model: Trained, encoder: ImageEncoder, inputs: Any) -> _Read:
    if isinstance(inputs, (np.ndarray, Tensor)):
        images = torch.as_tensor(inputs)
        shape = tuple(images.shape)
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[3] not in (1, 3) or images.is_floating_point():
            raise DataError(
                f"expected images as integers up to {encoder.largest}, (N, H, W) or (N, H, W, 1 or 3); "
                f"got {images.dtype} {shape}"
            )
        if len(images) and not 0 <= int(images.min()) <= int(images.max()) <= encoder.largest:
            raise DataError(f"a pixel is {int(images.max())}; expected 0 to {encoder.largest}, as in training")
        batch, done = encoder.fitted(images.to(torch.uint8).permute(0, 3, 1, 2).contiguous(), encoder.largest)
        return _Read(batch.split(BATCH), range(len(batch)), range(len(batch)), [f"images {what}" for what in done])
    paths, notes = image_paths([str(path) for path in ([inputs] if isinstance(inputs, (str, Path)) else inputs)])
    return _Read(images_like_training(paths, encoder, notes), paths, range(len(paths)), notes)


def _texts(model: Trained, encoder: Vocabulary, inputs: Any) -> _Read:
    import pandas as pd

    data = with_data(model, []).data
    if isinstance(inputs, Path):
        if not inputs.is_file():
            raise DataError(f"{inputs}: no such file")
        _, _, texts = texts_of(str(inputs), True, encoder, how(data, OF_TEXTS))
    else:
        column = inputs.get(encoder.text) if isinstance(inputs, pd.DataFrame) else inputs
        texts = [inputs] if isinstance(inputs, str) else [*(() if column is None else column)]
        if column is None or not all(isinstance(text, str) for text in texts):
            raise DataError("expected texts: a text, or a list or a column of a DataFrame, such as frame['text']")
    places, notes = with_text(texts, encoder, data)
    batches = map(encoder.encode, parts([texts[place] for place in places]))
    return _Read(batches, inputs.index if hasattr(inputs, "iloc") else range(len(texts)), places, notes)
