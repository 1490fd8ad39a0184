"""Read an image file like the training images: scaled or, if those were drawings, framed like them."""

from __future__ import annotations

import numpy as np

from trainer.data._image.drawing import NEAR, contrast, framed, on_background
from trainer.data._image.encoder import ImageEncoder
from trainer.data._image.file import is_transparent, pixels_of, printable, size_of
from trainer.errors import DataError


def like_training(path: str, encoder: ImageEncoder) -> np.ndarray:
    """Return the image `(C, H, W)` uint8, up to `encoder.largest`.

    If the training images are drawings, so is this one: of their size it is only inverted where needed, otherwise its
    ink is moved and scaled to where theirs is. A transparent page counts as white or black, whichever shows more.

    Raises:
        DataError: not an image, or a blank one.
    """
    if encoder.drawing is None:
        return _in_range(pixels_of(path, encoder.size, grey=encoder.is_grey) / 255, encoder.largest)
    papers = ("white", "black") if is_transparent(path) else ("white",)
    drawn = max((pixels_of(path, None, grey=True, paper=paper)[0] / 255 for paper in papers), key=contrast)
    if contrast(drawn) < NEAR:
        raise DataError(f"{printable(path)}: the image is blank: all of it has one shade")
    if size_of(path) == encoder.size:
        made = on_background(drawn, encoder.drawing)
    else:
        made = framed(drawn, encoder.drawing, encoder.size)
    return _in_range(made[None], encoder.largest)


def _in_range(image: np.ndarray, largest: int) -> np.ndarray:
    return (image * largest).round().clip(0, largest).astype(np.uint8)
