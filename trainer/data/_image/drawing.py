"""Drawings, such as digits: ink on one shade of grey. How the training's were framed, and another one framed likewise.

The training images say it themselves. MNIST's digits fill a box of 20 pixels and have their centre of mass in the
middle (LeCun et al. 1998); those of scikit-learn fill the image. `N` is the number of images, `H` and `W` their sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST = 0.9  # share of the images that have to agree
NEAR = 0.1  # of the range of brightness: what is one shade
THIN = 0.75  # of the training's share of ink in a box: with less, lines are made thicker
STEP, THICKEN = 0.125, 8  # pixels of the training's on either side at a time, and how often at most
INK = 0.25  # of the range: what differs so much from the background is ink


@dataclass(frozen=True)
class Drawing:
    """What drawings have in common. Brightness is 0 (black) to 1."""

    background: float
    side: float  # of the box around the ink, the longer one, in pixels
    by_mass: bool  # what lies at the same place in all of them: the centre of mass, or else of the box
    centre: tuple[float, float]  # row and column of that place
    fill: float  # mean share of ink in its box, which tells how thick the lines are


def fit_drawing(images: np.ndarray) -> Drawing | None:
    """What images `(N, H, W)` of 0 to 1 have in common; nothing if they are no drawings, or framed in various ways."""
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # (N, 4)
    background = float(np.median(corners))
    if (abs(corners - background) < NEAR).all(1).mean() < MOST:
        return None
    ink = abs(images - background)
    ink = ink[(ink > INK).any((1, 2))]
    if not len(ink):
        return None
    boxes = np.array([_box(image > INK) for image in ink])  # (N, 4)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    side = float(np.median(sides))
    if (abs(sides - side) <= 1).mean() < MOST:
        return None
    by_box, by_mass = (boxes[:, :2] + boxes[:, 2:] - 1) / 2, np.array([_mass(image) for image in ink])
    spreads = [centres.std(0).sum() for centres in (by_box, by_mass)]
    row, column = np.median(by_mass if spreads[1] < spreads[0] else by_box, 0).tolist()
    fill = float(np.median([_cut(image, box).mean() for image, box in zip(ink, boxes, strict=True)]))
    return Drawing(background, side, bool(spreads[1] < spreads[0]), (row, column), fill)


def contrast(image: np.ndarray) -> float:
    """How far the strongest ink is from its background, of a drawing `(h, w)` of 0 to 1."""
    return float(abs(image - _paper(image)).max())


def framed(image: np.ndarray, like: Drawing, size: tuple[int, int]) -> np.ndarray:
    """A drawing `(h, w)` of 0 to 1, of any size and not blank, as the training's are: `(H, W)` of 0 to 1.

    What differs most from its own background becomes as far from the training's background as can be: dark on light
    and light on dark are the same, and so are pale and strong ink. Lines that are much thinner become thicker.
    """
    ink = abs(image - _paper(image))
    ink = ink / ink.max()
    ink = _as_thick(ink, like)
    row, column = _mass(ink) if like.by_mass else ((ink.shape[0] - 1) / 2, (ink.shape[1] - 1) / 2)
    page = _placed(ink, size, round(like.centre[0] - row), round(like.centre[1] - column))
    return like.background + page * _room(like.background)


def on_background(image: np.ndarray, like: Drawing) -> np.ndarray:
    """A drawing of the training's size as it is, but dark on light or light on dark as they are."""
    return image if (_paper(image) > 0.5) == (like.background > 0.5) else 1 - image


def _paper(image: np.ndarray) -> float:
    """The shade of most of the border."""
    return float(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))


def _room(background: float) -> float:
    """From the background to the end of the range that is further away."""
    return 1 - background if background < 0.5 else -background


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """First row and column of what is true, and the row and column after the last."""
    rows, columns = ink.any(1).nonzero()[0], ink.any(0).nonzero()[0]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _mass(ink: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass."""
    total = ink.sum()
    return float(ink.sum(1) @ np.arange(ink.shape[0]) / total), float(ink.sum(0) @ np.arange(ink.shape[1]) / total)


def _as_thick(ink: np.ndarray, like: Drawing) -> np.ndarray:
    """The ink cut out and scaled to the training's side, with lines that fill their box as the training's nearly do."""
    from PIL import Image, ImageFilter

    made = _to_side(ink, like.side)
    for _ in range(THICKEN):
        if made.mean() >= THIN * like.fill:
            break
        top, left, bottom, right = _box(ink > INK)
        reach = max(1, round(STEP * max(bottom - top, right - left) / like.side))
        page = Image.fromarray((255 * np.pad(ink, reach)).astype(np.uint8))
        ink = np.asarray(page.filter(ImageFilter.MaxFilter(2 * reach + 1))) / 255
        made = _to_side(ink, like.side)
    return made


def _to_side(ink: np.ndarray, side: float) -> np.ndarray:
    cut = _cut(ink, _box(ink > INK))
    return _scaled(cut, side / max(cut.shape))


def _cut(image: np.ndarray, box: Sequence[int]) -> np.ndarray:
    top, left, bottom, right = box
    return image[top:bottom, left:right]


def _scaled(ink: np.ndarray, factor: float) -> np.ndarray:
    """The mean over what a pixel covers, stretched so that the strongest ink is 1."""
    from PIL import Image

    height, width = (max(1, round(factor * side)) for side in ink.shape)
    made = Image.fromarray(ink.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    small = np.asarray(made).clip(0, None)
    return small / small.max()


def _placed(ink: np.ndarray, size: tuple[int, int], top: int, left: int) -> np.ndarray:
    """On a page without ink, with its first row and column there; what does not fit is cut off."""
    page = np.zeros(size, np.float32)
    rows, columns = (np.arange(side) + start for side, start in zip(ink.shape, (top, left), strict=True))
    inside = [(at >= 0) & (at < most) for at, most in zip((rows, columns), size, strict=True)]
    page[np.ix_(rows[inside[0]], columns[inside[1]])] = ink[np.ix_(*inside)]
    return page
