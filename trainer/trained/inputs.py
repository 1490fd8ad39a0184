"""What a person gives to predict: paths of images, or texts."""

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
    """All images of files, folders (and the folders in them) and globs.

    Raises:
        DataError: there is none, or a file that is no image by its name.
    """
    paths: list[str] = []
    for given in inputs:
        path = Path(given).expanduser()
        if path.is_dir():
            found = images_below(str(path))
            if not found:
                raise DataError(f"{path.absolute()}: no images in this folder ({', '.join(SUFFIXES)})")
        elif path.is_file():
            if given.lower().endswith(TABLES):
                raise DataError(f"{path}: a table, and this model reads images ({', '.join(SUFFIXES)})")
            found = [str(path)]
        else:
            found = sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
            if not found:
                raise DataError(f"{path.absolute()}: no such file, folder or pattern; this model reads images")
        paths += found
    return paths


def texts_of(inputs: list[str]) -> list[str]:
    """Texts from words, from a file or, of `-`, standard input, one a line.

    One word alone is several texts where a comma stands without a space behind it: `Schmidt,Rossi`.

    Raises:
        DataError: there is no text, or a file that is none of texts alone.
    """
    if inputs == ["-"]:
        texts = sys.stdin.read().splitlines()
    elif len(inputs) == 1 and Path(inputs[0]).is_file():
        if inputs[0].lower().endswith((*TABLES, *SUFFIXES)):
            cure = "texts are read one a line, as from: cut -d, -f1 FILE | dltrain predict input=-"
            raise DataError(f"{inputs[0]}: this model reads texts; {cure}")
        try:
            texts = Path(inputs[0]).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeError as error:
            raise DataError(f"{inputs[0]}: not UTF-8 text: {error}") from error
    elif len(inputs) == 1 and inputs[0].lower().endswith((*TABLES, *SUFFIXES)):
        raise ConfigError(f"input={inputs[0]}: no such file, and this model reads texts")
    else:
        texts = re.split(r",(?! )", inputs[0]) if len(inputs) == 1 else inputs
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise DataError("dltrain predict: there is no text in the input")
    return texts
