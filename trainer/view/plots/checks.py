"""What `dltrain check` has found: images that are in two splits, side by side, and distributions that differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainer.checks.findings import Finding
from trainer.checks.pool import Column, Pool
from trainer.view import style
from trainer.view.plots.images import coloured, sheet

PAIRS, PANELS, BARS, BINS = 16, 6, 8, 20  # at most
WIDTH = 20  # characters below an image


def draw(name: str, pool: Pool, found: Sequence[Finding], folder: Path) -> list[Path]:
    """Draw the pictures that apply to what is found in the data of this name; return their files."""
    drawn = []
    with style.look():
        for kind, picture in (("copies", copies(name, pool, found)), ("shifts", shifts(name, pool, found))):
            if picture:
                drawn.append(folder / f"{kind}.png")
                style.save(picture, drawn[-1])
    return drawn


def applies(pool: Pool, found: Sequence[Finding]) -> bool:
    """Return whether there is something to draw."""
    return bool(_pairs(pool, found) or _shifted(pool, found))


def copies(name: str, pool: Pool, found: Sequence[Finding]) -> style.Figure | None:
    """Draw equal and nearly equal images in pairs, those of a few pairs of each finding."""
    if not (pairs := _pairs(pool, found)):
        return None
    places = [place for pair in pairs for place in pair]
    images = torch.cat([pool.stored([place]) for place in places])
    words = pool.target.words or ()
    captions = [
        f"{where[-WIDTH:]}\n{style.short(words[pool.target.values[place]])}"
        for where, place in zip(pool.places(places), places, strict=True)
    ]
    head, legend = f"{name}: images that are others once more", "two by two: an image, and the one that it repeats"
    across = 2 * min(4, len(pairs))
    return sheet(head, legend, coloured(images), across, width=1.2, captions=captions, text=0.35, fontsize=7)


def _pairs(pool: Pool, found: Sequence[Finding]) -> list[tuple[int, int]]:
    of = [one.pairs for one in found if one.pairs and pool.spec.kind == "image"]
    return [pair for pairs in of for pair in pairs[: PAIRS // len(of)]]


def shifts(name: str, pool: Pool, found: Sequence[Finding]) -> style.Figure | None:
    """Draw the distributions of the first columns that are shifted, of each split."""
    if not (columns := _shifted(pool, found)):
        return None
    head = f"{name}: columns that differ between the splits"
    picture, panels = style.figure(
        head, len(columns), width=2.4, height=2.0, left=0.7, between=0.5, below=0.75, above=0.75
    )
    for column, panel in zip(columns, panels, strict=True):
        (_lines if column.words is None else _bars)(pool, column, panel)
        panel.set_title(style.short(column.name, 32), loc="left")
    panels[0].set_ylabel("share of a split")
    panels[0].legend()
    return picture


def _shifted(pool: Pool, found: Sequence[Finding]) -> list[Column]:
    known = {pool.target.name, *pool.column_names}
    names = [name for one in found if one.kind == "shift" for name in one.columns if name in known]
    return [pool.target if name == pool.target.name else pool.column(name) for name in names[:PANELS]]


def _lines(pool: Pool, column: Column, panel: style.Axes) -> None:
    is_known = ~column.is_missing
    low, high = column.values[is_known].min(), column.values[is_known].max()
    is_counted = high - low < 2 * BINS and not (column.values[is_known] % 1).any()
    edges = np.arange(low - 0.5, high + 1) if is_counted else np.linspace(low, high, BINS + 1)
    for number, split in enumerate(pool.names):
        values = column.values[is_known & (pool.split == number)]
        panel.stairs(np.histogram(values, edges)[0] / max(1, len(values)), edges, label=split, linewidth=1.4)


def _bars(pool: Pool, column: Column, panel: style.Axes) -> None:
    counts = np.bincount(column.values[~column.is_missing], minlength=len(column.words or ()))
    most = np.argsort(-counts, kind="stable")[:BARS]
    for number, split in enumerate(pool.names):
        values = column.values[pool.split == number]
        shares = [(values == code).mean() for code in most]
        panel.bar(np.arange(len(most)) + (number - 1) * 0.27, shares, 0.25, label=split)
    names = [style.short((column.words or ())[code], 10) for code in most]
    panel.set_xticks(np.arange(len(most)), names, rotation=30, ha="right")
