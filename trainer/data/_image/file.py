"""Read an image file in the shape that a model reads: scaled or, if the training images are drawings, framed alike.

An image that cannot be read, or is too large, is a DataError.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.data._image.drawing import NEAR, contrast, framed, on_background
from trainer.data._image.encoder import ALL_16, ImageEncoder
from trainer.errors import DataError
from trainer.errors import printable as without_controls

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # whatever the suffix; others may start programs
LONGEST = 512  # pixels a side, at most, of an image that keeps its proportions
DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that devices measure with
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values for images that are stored on their side


class Header(NamedTuple):
    """What an image's file says of it: height and width in pixels, once it is upright, and whether it is of 16 bits."""

    size: tuple[int, int]
    is_deep: bool


def headers_of(paths: Iterable[str]) -> list[Header]:
    """Read no pixels; raise a DataError that names the first ten images that cannot be read."""
    headers, broken = [], dict[str, DataError]()
    for path in paths:
        try:
            with _opened(path) as image:
                headers.append(_header(image))
        except DataError as error:
            broken[path] = error
            if len(broken) == 10:
                break
    if broken:
        others = [*map(printable, broken)][1:]
        more = f"; also broken: {', '.join(others)}" if others else ""
        raise DataError(f"{next(iter(broken.values()))}{more}; replace or remove {'them' if others else 'it'}")
    return headers


def depth_of(paths: Iterable[str]) -> tuple[int, int] | None:
    """Return the lowest level of images of 16 or 32 bits and the number of bits above it; None if there are no such.

    The lowest is 0 unless some are negative, or all levels fit into a byte.
    """
    found = []
    for path in paths:
        with _opened(path) as image:
            if _header(image).is_deep:
                pixels = np.asarray(image)
                found.append((int(pixels.min()), int(pixels.max())))
    if not found:
        return None
    low, high = min(low for low, _ in found), max(high for _, high in found)
    low = low if low < 0 or high - low < 256 <= high else 0
    return low, next(bits for bits in DEPTHS if high - low < 2**bits)


def pixels_of(
    path: str,
    size: tuple[int, int] | None,
    *,
    grey: bool,
    depth: tuple[int, int] | None = ALL_16,
    paper: str = "white",
) -> np.ndarray:
    """Return an image as `(1, H, W)` or `(3, H, W)` uint8, scaled to `size`, height and width.

    Without a size, only images of more than `LONGEST` pixels a side are reduced. Images are turned upright by their
    EXIF data, transparent parts get the colour `paper`, and only the first frame is used. Of 16 or 32 bits, the upper 8
    are used: of a `depth` as from `depth_of` or, for None, of the image's own.
    """
    longest = max(size) if size else LONGEST
    with _opened(path) as file:
        file.draft(None, (2 * longest, 2 * longest))  # JPEG: decode at a reduced size, but no smaller
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if _header(image).is_deep:
            low, bits = depth or depth_of([path]) or ALL_16
            levels = (np.asarray(image).astype(np.int64) - low) << 8 >> bits
            image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        elif image.mode == "F":
            raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
        clear = image.has_transparency_data
        image = image.convert("RGBA" if clear else "L" if grey else "RGB")
        shrunk = max(1, max(image.size) / LONGEST)
        height, width = size or (max(1, round(side / shrunk)) for side in (image.height, image.width))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        if clear:
            image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def like_training(path: str, encoder: ImageEncoder) -> np.ndarray:
    """Return the image `(C, H, W)` uint8, up to `encoder.largest`.

    If the training images are drawings, so is this one: of their size it is only inverted where needed, otherwise its
    ink is moved and scaled to where theirs is. A transparent page counts as white or black, whichever shows more.
    """
    if encoder.drawing is None:
        image = pixels_of(path, encoder.size, grey=encoder.is_grey, depth=encoder.depth) / 255
    else:
        with _opened(path) as file:
            is_framed = _header(file).size == encoder.size
            papers = ("white", "black") if file.has_transparency_data else ("white",)
        read = partial(pixels_of, path, None, grey=True, depth=None)
        drawn = max((read(paper=paper)[0] / 255 for paper in papers), key=contrast)
        if contrast(drawn) < NEAR:
            raise DataError(f"{printable(path)}: the image is blank: it has a single shade")
        like = encoder.drawing
        image = (on_background(drawn, like) if is_framed else framed(drawn, like, encoder.size))[None]
    return (image * encoder.largest).round().clip(0, encoder.largest).astype(np.uint8)


def printable(path: str | Path) -> str:
    """Return a path as valid text without control characters, which file names on Linux need not be."""
    return without_controls(os.fsencode(path).decode(errors="replace")).replace("\n", r"\n").replace("\t", r"\t")


def _header(image: Image.Image) -> Header:
    # PNG's own getexif() decodes the image, in case there is something after the pixels.
    is_lying = Image.Image.getexif(image).get(ORIENTATION) in LYING
    size = (image.width, image.height) if is_lying else (image.height, image.width)
    return Header(size, image.mode.startswith("I"))


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """Open an image; turn whatever goes wrong with it into a DataError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{printable(path)}: not a {', '.join(FORMATS)} image, whatever its name") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{printable(path)}: this image cannot be read: {reason}") from error
