"""Read an image file in the shape that a model reads: scaled or, if the training images are drawings, framed alike.

An image that cannot be read, or is too large, is a DataError.
"""

import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
NAMED = 10  # broken images at once
TAIL = 1 << 14  # bytes in which a whole file has the mark of its end, behind which phones add data of their own
END = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
STRIPS = ((273, 279), (324, 325))  # TIFF's tags of where its strips or tiles start, and of their sizes
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values for images that are stored on their side


T = TypeVar("T")


class Header(NamedTuple):
    """What an image's file says of it: height and width in pixels, once it is upright, and whether it is of 16 bits."""

    size: tuple[int, int]
    is_deep: bool


def of_all(read: Callable[[str], T], paths: Iterable[str]) -> list[T]:
    """Return what is read of each image.

    Raises:
        DataError: some cannot be read; names ten of them, and counts the others.
    """
    found, broken = list[T](), dict[str, DataError]()
    for path in paths:
        try:
            found.append(read(path))
        except DataError as error:
            broken[path] = error
    if not broken:
        return found
    removed = f"rm {shlex.join([*map(printable, broken)][:NAMED])}"
    others = {1: "", 2: "; and another"}.get(len(broken), f"; and {len(broken) - 1:,} others")
    which = "it" if not others else "them" if len(broken) <= NAMED else f"them, {NAMED} of {len(broken):,}"
    raise DataError(f"{next(iter(broken.values()))}{others}; replace or remove {which}: {removed}")


def header_of(path: str) -> Header:
    """Read what a file says of its image; pixels only if it seems to end early."""
    with _opened(path) as image:
        header = _header(image)
        if not _is_whole(path, image):
            image.load()
    return header


def _is_whole(path: str, image: Image.Image) -> bool:
    """Return whether a file surely does not end early, without reading its pixels."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if image.format == "WEBP":
            return size >= 8 + int.from_bytes(file.read(8)[4:], "little")
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        places = [zip(tags.get(start, ()), tags.get(count, ()), strict=False) for start, count in STRIPS]
        ends = [start + count for pairs in places for start, count in pairs]
        return bool(ends) and max(ends) <= size
    if image.format == "GIF":
        return tail.endswith(b"\x00;")
    mark = END.get(str(image.format))
    return mark is not None and mark in tail


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
