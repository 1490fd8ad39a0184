"""Inputs for predict: image paths, or texts."""

from __future__ import annotations

import glob
import re
import sys
from pathlib import Path

from trainer.data._image.file import SUFFIXES
from trainer.data.folder import images_below
from trainer.errors import ConfigError, DataError

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def image_paths(inputs: list[str]) -> list[str]:
    """Return all images in files, folders (recursively) and glob patterns.

    Raises:
        DataError: there is no image, or a file is not an image by its name.
    """
    paths: list[str] = []
    for given in inputs:
        path = Path(given).expanduser()
        if path.is_dir():
            found = images_below(str(path))
            if not found:
                raise DataError(f"{path.absolute()}: this folder has no images ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if given.lower().endswith(TABLES):
                raise DataError(f"{path}: this is a table, but this model reads images ({', '.join(SUFFIXES)})")
            found = [str(path)]
        else:
            found = sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
            if not found:
                raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths


def texts_of(inputs: list[str]) -> list[str]:
    """Return texts from words, from a file or, for `-`, from standard input, one per line.

    A single word is split at commas without a space after them: `Schmidt,Rossi`.

    Raises:
        DataError: there is no text, or the file is not plain text.
    """
    if inputs == ["-"]:
        texts = sys.stdin.read().splitlines()
    elif len(inputs) == 1 and Path(inputs[0]).is_file():
        if inputs[0].lower().endswith((*TABLES, *SUFFIXES)):
            cure = "pass one text per line, as in: cut -d, -f1 FILE | dltrain predict input=-"
            raise DataError(f"{inputs[0]}: this model reads texts; {cure}")
        try:
            texts = Path(inputs[0]).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeError as error:
            raise DataError(f"{inputs[0]}: not UTF-8 text: {error}") from error
    elif len(inputs) == 1 and inputs[0].lower().endswith((*TABLES, *SUFFIXES)):
        raise ConfigError(f"input={inputs[0]}: no such file; this model reads texts")
    else:
        texts = re.split(r",(?! )", inputs[0]) if len(inputs) == 1 else inputs
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise DataError("dltrain predict: the input has no text")
    return texts
