"""One image file: its size, and its bytes in the shape that a model reads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # whatever the suffix; others may start programs

LONGEST = 512  # pixels of a side of an image that keeps its proportions


def size_of(path: str) -> tuple[int, int]:
    """Height and width in pixels, from the header.

    Raises:
        DataError: no image, or one too large.
    """
    with _opened(path) as image:
        return image.height, image.width


def is_transparent(path: str) -> bool:
    """Whether an image may have transparent parts, from the header.

    Raises:
        DataError: no image, or one too large.
    """
    with _opened(path) as image:
        return image.has_transparency_data


def pixels_of(path: str, size: tuple[int, int] | None, *, grey: bool, paper: str = "white") -> np.ndarray:
    """An image as `(1, H, W)` or `(3, H, W)` uint8, scaled to the height and width of `size` whatever its own.

    Without a size it keeps its own, or becomes smaller, with `LONGEST` pixels at most. Shown upright as its EXIF says;
    a transparent part is white, or as `paper` says; of 16 bits the upper eight count; of several frames the first.

    Raises:
        DataError: no image, or one that is too large, incomplete or damaged.
    """
    longest = max(size) if size else LONGEST
    with _opened(path) as file:
        file.draft(None, (2 * longest, 2 * longest))  # JPEG: decoded at a fraction, no smaller than that
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        elif image.mode == "F":
            raise ValueError("its pixels are floating-point numbers")
        clear = image.has_transparency_data
        image = image.convert("RGBA" if clear else "L" if grey else "RGB")
        shrunk = max(1, max(image.size) / LONGEST)
        height, width = size or (max(1, round(side / shrunk)) for side in (image.height, image.width))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        if clear:
            image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def printable(path: str | Path) -> str:
    """A path as text that can be written anywhere: Linux allows file names that are not."""
    return os.fsencode(path).decode(errors="replace")


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """The image; whatever goes wrong with it is told with its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{printable(path)}: no {', '.join(FORMATS)} image, whatever its name says") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{printable(path)}: this image cannot be read: {reason}") from error
