"""Drawings, such as digits, are ink on one shade of grey. Find how training images are framed, and frame others alike.

MNIST's digits fill a box of 20 pixels with their centre of mass in the middle (LeCun et al. 1998); scikit-learn's fill
the image. `N` is the number of images, `H` and `W` their height and width.
"""

from dataclasses import dataclass

import numpy as np

MOST = 0.9  # fraction of the images that must agree
NEAR = 0.1  # difference in brightness within one shade
THIN = 0.75  # of the training images' share of ink in its box: below it, lines are thickened
STEP, THICKEN = 0.125, 8  # training pixels added on either side at a time, and the maximum number of times
INK = 0.25  # difference in brightness from the background that makes ink


@dataclass(frozen=True)
class Drawing:
    """What drawings have in common. Brightness is 0 (black) to 1."""

    background: float
    side: float  # longer side of the box around the ink, in pixels
    by_mass: bool  # whether drawings are aligned by their centre of mass rather than that of the box
    centre: tuple[float, float]  # its row and column
    fill: float  # mean share of ink in its box, a measure of line thickness


def fit_drawing(images: np.ndarray) -> Drawing | None:
    """Find what images `(N, H, W)` in [0, 1] have in common; None if they are not drawings framed alike."""
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
    is_by_mass = bool(by_mass.std(0).sum() < by_box.std(0).sum())
    row, column = np.median(by_mass if is_by_mass else by_box, 0).tolist()
    fills = [image[top:bottom, left:right].mean() for image, (top, left, bottom, right) in zip(ink, boxes, strict=True)]
    return Drawing(background, side, is_by_mass, (row, column), float(np.median(fills)))


def contrast(image: np.ndarray) -> float:
    """Return the largest difference of a drawing `(h, w)` in [0, 1] from its background."""
    return float(abs(image - _paper(image)).max())


def framed(image: np.ndarray, like: Drawing, size: tuple[int, int]) -> np.ndarray:
    """Frame a drawing `(h, w)` in [0, 1], of any size and not blank, like the training images: `(H, W)` in [0, 1].

    The strongest ink gets full contrast to the training background, so dark on light equals light on dark, and pale
    equals strong ink. Much thinner lines are thickened.
    """
    from PIL import Image

    ink = abs(image - _paper(image))
    ink = _as_thick(ink / ink.max(), like)
    row, column = _mass(ink) if like.by_mass else ((ink.shape[0] - 1) / 2, (ink.shape[1] - 1) / 2)
    page = Image.new("F", size[::-1])
    page.paste(Image.fromarray(ink), (round(like.centre[1] - column), round(like.centre[0] - row)))
    return like.background + np.asarray(page) * (1 - like.background if like.background < 0.5 else -like.background)


def on_background(image: np.ndarray, like: Drawing) -> np.ndarray:
    """Invert a drawing of the training images' size if its background is dark and theirs light, or vice versa."""
    return image if (_paper(image) > 0.5) == (like.background > 0.5) else 1 - image


def _paper(image: np.ndarray) -> float:
    """Return the median shade of the border."""
    return float(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Return the first row and column that are true anywhere, and the row and column after the last."""
    rows, columns = ink.any(1).nonzero()[0], ink.any(0).nonzero()[0]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _mass(ink: np.ndarray) -> tuple[float, float]:
    """Return row and column of the centre of mass."""
    total = ink.sum()
    return float(ink.sum(1) @ np.arange(ink.shape[0]) / total), float(ink.sum(0) @ np.arange(ink.shape[1]) / total)


def _as_thick(ink: np.ndarray, like: Drawing) -> np.ndarray:
    """Cut out the ink and scale it to the training images' side, thickening lines that fill too little of their box."""
    from PIL import Image, ImageFilter

    scaled = _cut_out(ink, like.side)
    for _ in range(THICKEN):
        if scaled.mean() >= THIN * like.fill:
            break
        top, left, bottom, right = _box(ink > INK)
        reach = max(1, round(STEP * max(bottom - top, right - left) / like.side))
        page = Image.fromarray((255 * np.pad(ink, reach)).astype(np.uint8))
        ink = np.asarray(page.filter(ImageFilter.MaxFilter(2 * reach + 1))) / 255
        scaled = _cut_out(ink, like.side)
    return scaled


def _cut_out(ink: np.ndarray, side: float) -> np.ndarray:
    """Cut out the ink, scale it by averaging so that its longer side is `side`, and stretch it to at most 1."""
    from PIL import Image

    top, left, bottom, right = _box(ink > INK)
    cut = Image.fromarray(ink[top:bottom, left:right].astype(np.float32))
    width, height = (max(1, round(side / max(cut.size) * length)) for length in cut.size)
    scaled = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR)).clip(0, None)
    return scaled / scaled.max()
