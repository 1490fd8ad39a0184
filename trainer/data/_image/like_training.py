"""An image file as the training images were: scaled as a whole, or framed as drawings were, if those were drawings."""

from __future__ import annotations

import numpy as np

from trainer.data._image.drawing import NEAR, contrast, framed, on_background
from trainer.data._image.encoder import ImageEncoder
from trainer.data._image.file import is_transparent, pixels_of, printable, size_of
from trainer.errors import DataError


def like_training(path: str, encoder: ImageEncoder) -> np.ndarray:
    """The image `(C, H, W)` uint8, up to `encoder.largest`.

    Where the training images are drawings, this one is taken for a drawing too: as it is if it has their size, apart
    from dark on light and light on dark, and else with its ink where theirs is. Ink on a transparent page is seen
    on white or on black, where it shows best.

    Raises:
        DataError: no image, or nothing is drawn in it.
    """
    if encoder.drawing is None:
        return _in_range(pixels_of(path, encoder.size, grey=encoder.is_grey) / 255, encoder.largest)
    papers = ("white", "black") if is_transparent(path) else ("white",)
    drawn = max((pixels_of(path, None, grey=True, paper=paper)[0] / 255 for paper in papers), key=contrast)
    if contrast(drawn) < NEAR:
        raise DataError(f"{printable(path)}: nothing is drawn in it: all of it is of one shade")
    if size_of(path) == encoder.size:
        made = on_background(drawn, encoder.drawing)
    else:
        made = framed(drawn, encoder.drawing, encoder.size)
    return _in_range(made[None], encoder.largest)


def _in_range(image: np.ndarray, largest: int) -> np.ndarray:
    return (image * largest).round().clip(0, largest).astype(np.uint8)
