"""The look of all pictures. matplotlib is imported with the first one; pyplot, with its global state, never is."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.files import replacing

if TYPE_CHECKING:  # the other modules take these from here, for annotations
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DPI = 110
FORMATS = (".png", ".pdf", ".svg")
# Safe for the colour-blind (Okabe and Ito 2008); black is for the axes, and yellow too light for lines.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
DARK, GREY, LIGHT = "#333333", "#999999", "#DDDDDD"
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Microsoft YaHei")
MONOSPACED = ("DejaVu Sans Mono", *FONTS[1:])
LOOK = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": DARK,
    "axes.labelcolor": DARK,
    "axes.edgecolor": GREY,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.75,
    "legend.title_fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "image.cmap": "viridis",
    "text.usetex": False,
    "text.parse_math": False,  # names may contain dollars
}


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Draw in this style, without warnings of missing glyphs or of a font cache that cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from cycler import cycler
    from matplotlib import font_manager, rc_context

    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in FONTS if name in known]
    settings: dict[Any, Any] = {**LOOK, "font.family": fonts, "axes.prop_cycle": cycler(color=COLOURS)}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def figure(
    title: str,
    panels: int = 1,
    *,
    width: float = 4.4,
    height: float = 3.4,
    left: float = 0.65,
    between: float = 0.75,
    right: float = 0.2,
    below: float = 0.5,
    above: float = 0.45,
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its `panels`, side by side under one title.

    All sizes are in inches; `width` and `height` are those of a panel. Margins are explicit because matplotlib takes as
    long to find them as to draw.
    """
    from matplotlib.figure import Figure

    across = max(left + panels * width + (panels - 1) * between + right, 0.3 + 0.088 * len(title))
    up = below + height + above
    made = Figure(figsize=(across, up), dpi=DPI)
    made.text(0.12 / across, 1 - 0.12 / up, title, fontsize=11, fontweight="bold", va="top")
    places = [left + number * (width + between) for number in range(panels)]
    return made, [made.add_axes((x / across, below / up, width / across, height / up)) for x in places]


def arranged(title: str, width: float, height: float) -> Figure:
    """Return an empty figure with a title, of this size in inches, in which matplotlib finds room for everything."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    made.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    return made


def save(picture: Figure, path: Path, dpi: int = 0) -> None:
    """Write a picture atomically, in the format of its suffix, with `dpi` dots per inch if given.

    Pillow at low compression takes half the time of matplotlib's `savefig`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    if dpi:
        picture.set_dpi(dpi)
    if path.suffix != ".png":
        with replacing(path) as part:
            picture.savefig(part, format=path.suffix[1:])
        return
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    with replacing(path) as part:
        Image.fromarray(np.ascontiguousarray(pixels)).save(part, "png", compress_level=3)


def logarithmic(axis: Axis) -> None:
    """Make an axis logarithmic, with plain numbers."""
    axis._set_axes_scale("log")  # type: ignore[attr-defined]
    axis.set_major_formatter("{x:g}")


def short(name: str, most: int = 16) -> str:
    """Cut a name so that it fits beside an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def room(names: Sequence[str]) -> float:
    """Return the inches that the longest name takes to the left of an axis."""
    return 0.25 + 0.075 * max(map(len, names), default=0)
