"""Find the inputs of `dltrain predict`: image paths, or texts."""

from __future__ import annotations

import glob
import os
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
            if not (found := images_below(str(path))):
                raise DataError(f"{path.absolute()}: this folder has no images ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if given.lower().endswith(TABLES):
                raise DataError(f"{path}: this is a table, but this model reads images ({', '.join(SUFFIXES)})")
            found = [str(path)]
        else:
            if not (found := sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True)))):
                raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths


def texts_of(inputs: list[str]) -> list[str]:
    """Return texts from words, from a file or, for `-`, from standard input, one per line.

    A single word is split at commas without a space after them: `Schmidt,Rossi`.

    Raises:
        DataError: there is no text, or the file is not plain text.
    """
    word = inputs[0] if len(inputs) == 1 else ""
    if word == "-":
        texts = sys.stdin.read().splitlines()
    elif not word:
        texts = inputs
    elif Path(word).is_file():
        if word.lower().endswith((*TABLES, *SUFFIXES)):
            cure = "pass one text per line, as in: cut -d, -f1 FILE | dltrain predict input=-"
            raise DataError(f"{word}: this model reads texts; {cure}")
        try:
            texts = Path(word).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeError as error:
            raise DataError(f"{word}: not UTF-8 text: {error}") from error
    elif word.lower().endswith((*TABLES, *SUFFIXES)):
        raise ConfigError(f"input={word}: no such file; this model reads texts")
    else:
        texts = re.split(r",(?! )", word)
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise DataError("dltrain predict: the input has no text")
    return texts
