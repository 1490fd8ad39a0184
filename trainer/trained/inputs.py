"""Read what predictions are wanted for: rows of a table, images and texts, as the training data was read."""

import glob
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from trainer.data._image.contents import contents, notes_on
from trainer.data._image.encoder import ImageEncoder
from trainer.data._image.file import SUFFIXES, header_of, of_all, printable
from trainer.data._table.encoder import TableEncoder
from trainer.data._table.file import TableFile
from trainer.data._table.opening import open_table
from trainer.data._table.splits import like_training
from trainer.data._textfile import is_url, read_lines, wrong_kind
from trainer.data._texts import TABLES, holds_table, is_table, open_texts
from trainer.data._vocabulary import Vocabulary, cut
from trainer.data.folder import files_like_training, one_shade
from trainer.data.text import unknown_tokens
from trainer.errors import DataError
from trainer.trained.new_data import how

FILES = (*TABLES, *SUFFIXES, ".txt", ".md", ".log", ".gz", ".zip", ".xlsx", ".xls", ".parquet", ".pdf", ".docx")
BATCH = 256  # images or texts; more would be hardly faster


def rows_like_training(
    path: str, encoder: TableEncoder, data: Mapping[str, Any]
) -> tuple[TableFile, Tensor, list[str]]:
    """Open a table that is written as `data` says; return it, its rows `(N, F)` as the model reads them, and notes."""
    file = open_table(path, **how(data), single=len(encoder.names) == 1)
    read, notes = like_training(file, encoder, encoder.names, data.get("unknown", "note"))
    return file, torch.from_numpy(encoder.encode(read.frame, file.error)), notes


def image_paths(inputs: list[str]) -> tuple[list[str], list[str]]:
    """Return all images in files, folders (recursively) and glob patterns, and notes on what was skipped."""
    paths: list[str] = []
    notes: list[str] = []
    for given in inputs:
        path = Path(given).expanduser()
        if path.is_dir():
            inside = contents(str(path))
            found, notes = inside.images, notes + notes_on(inside)
            if not found:
                raise DataError(f"{path.absolute()}: this folder has no images ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if is_table(given):
                raise DataError(f"{path}: this is a table, but this model reads images ({', '.join(SUFFIXES)})")
            what = "" if given.lower().endswith(SUFFIXES) else wrong_kind(path)
            if what and "an image" not in what:
                raise DataError(f"{path}: {what}")
            found = [str(path)]
        elif is_url(given):
            raise DataError(f"{given}: {wrong_kind(path)}")
        elif not (found := sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True)))):
            raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths, notes


def images_like_training(paths: Sequence[str], encoder: ImageEncoder, notes: list[str]) -> Iterator[Tensor]:
    """Yield the images in batches `(B, C, H, W)`; the last one adds what there is to say to the notes."""
    of_all(header_of, paths)
    files, plain = files_like_training(paths, encoder), list[str]()
    for places in parts(range(len(paths))):
        batch = files.read(places)
        plain.extend(paths[places[at]] for at in one_shade(batch).nonzero().flatten().tolist())
        yield batch
    if plain:
        notes.append(f"of one shade, or wholly transparent: {len(plain):,} images, such as {printable(plain[0])}")


def texts_of(
    given: str, is_only: bool, encoder: Vocabulary, written: dict[str, Any]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the names of columns, their cells, and the texts: of a table, a file's lines, or words.

    A single word is split at its commas: `Schmidt,Rossi`. What looks like a file and is not there is refused.
    """
    column = written.pop("text", None)
    if given == "-" or _is_file(given):
        with as_file(given) as file:
            if not column and not holds_table(file, encoder.text, encoder.label, **written):
                texts = read_lines(Path(file), written.get("encoding", "utf-8"))
                return ["input"], [[text] for text in texts], texts
            table = open_texts(file, columns=(column or encoder.text,), **written)
        at = table.place(column or encoder.text) if column or len(table.names) > 1 else 0
        if not table.header:  # nothing names the other columns
            return ["input"], [[cell] for cell in table.column(at)], table.column(at)
        return [*table.names], [row.cells for row in table.rows], table.column(at)
    if problem := _looks_like_a_file(given):
        cure = f"as a text: echo '{given}' | dltrain predict input=-"
        raise DataError(f"{given}: {problem}; this model reads texts; {cure}")
    texts = given.split(",") if is_only and not re.search(r"\s", given.strip()) else [given]
    return ["input"], [[text] for text in texts], texts


def with_text(texts: Sequence[str], encoder: Vocabulary, data: Mapping[str, Any]) -> tuple[list[int], list[str]]:
    """Return the places of the texts that are not empty, and notes.

    Raises:
        DataError: there are none, or one has an unknown token where `data` says that it is an error.
    """
    kept = [place for place, text in enumerate(texts) if cut(text, encoder.unit)]
    if not kept:
        raise DataError("dltrain predict: the input has no text")
    notes = unknown_tokens("input", encoder, [texts[place] for place in kept], data.get("unknown", "note"))
    if len(kept) < len(texts):
        notes.append(f"skipped, empty: {len(texts) - len(kept):,} of {len(texts):,} texts")
    return kept, notes


def parts(sequence: Any) -> Iterator[Any]:
    """Cut images or texts into batches."""
    return (sequence[start : start + BATCH] for start in range(0, len(sequence), BATCH))


def _is_file(word: str) -> bool:
    """Whether a word names a file; a text may be longer than any name."""
    with suppress(OSError, ValueError):
        return Path(word).expanduser().is_file()
    return False


def _looks_like_a_file(word: str) -> str:
    """Say what is wrong with a word that can only be meant as a file or a folder; nothing if it may be a text."""
    with suppress(OSError, ValueError):
        if Path(word).expanduser().is_dir():
            return "a folder, not a file"
    if is_url(word):
        return wrong_kind(Path(word))
    is_one = not re.search(r"\s", word)
    is_path = word.startswith(("~/", "./", "../", "/")) or (is_one and ("/" in word or "\\" in word))
    has_suffix = word.lower().endswith(FILES) or (is_one and re.search(r"[^.,]\.[A-Za-z]\w{0,5}$", word))
    return "no such file" if is_path or has_suffix else ""


@contextmanager
def as_file(path: str) -> Iterator[str]:
    """Yield the path; for `-`, a file with a copy of standard input, which is read more than once."""
    if path != "-":
        yield str(Path(path).expanduser())
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        copy.write_bytes(sys.stdin.buffer.read())
        yield str(copy)
