"""The pictures of a finished run: their names and files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, nearest
from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots.classification import classes, confusion, reliability, roc_pr
from trainer.view.plots.curves import curves, schedule
from trainer.view.plots.images import filters, mistakes
from trainer.view.plots.importance import importance
from trainer.view.plots.predictions import fit, predictions, residuals
from trainer.view.plots.surface import surface
from trainer.view.plots.weights import distances, weights

log = logging.getLogger("dltrain")
OF_TASK = (fit, predictions, residuals, confusion, classes, roc_pr, reliability, mistakes, importance)
# Each returns None if it does not apply to the run, and imports matplotlib only to draw.
PICTURES: dict[str, Callable[[Outcome], style.Figure | None]] = {
    function.__name__: function for function in (curves, schedule, *OF_TASK, filters, weights, distances, surface)
}


def check(which: Any) -> list[str]:
    """Return the names of the pictures that `plots=` requests, all for `auto` and `all`; call this before training.

    Raises:
        ConfigError: an unknown name.
    """
    if which in ("off", False, None):  # YAML reads `off` as false
        return []
    if which in ("auto", "all"):
        return list(PICTURES)
    names = list(which) if isinstance(which, Iterable) and not isinstance(which, str) else [which]
    for name in names:
        if str(name) not in PICTURES:
            raise ConfigError(f"plots={name}: no such picture; {nearest(str(name), {*PICTURES, 'auto', 'all', 'off'})}")
    return names


def draw(which: Any, folder: Path, outcome: Outcome, say: Callable[[str], None]) -> dict[str, Path]:
    """Draw the requested pictures that apply to this run; return name -> PNG file in `folder`.

    A picture that fails does not fail the run: `say` gets one line and the log the traceback.
    """
    drawn: dict[str, Path] = {}
    for name in check(which):
        path = folder / f"{name}.png"
        try:
            with style.look():
                if picture := PICTURES[name](outcome):
                    folder.mkdir(exist_ok=True)
                    style.save(picture, path)
                    drawn[name] = path
                elif which not in ("auto", "all"):
                    say(f"plots: {name} does not apply to this run")
        except Exception as error:
            log.exception("drawing %s", name)
            say(f"warning: could not draw {name}: {type(error).__name__}: {error}")
    return drawn
