"""TensorBoard: which board a run writes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.view.board.silent import Board


def open_board(
    level: str | bool, folder: Path, hyper_parameters: Mapping[str, Any], results: list[str], goes_on_at: int | None
) -> Board:
    """The board for `tensorboard=`full, basic or off, which a yaml reads as false.

    `results` are the tags of what `close` will be told. A run that goes on does so at the step `goes_on_at`: what was
    written from there on before it was broken off is not shown any more.
    """
    if str(level).lower() in ("off", "false"):
        return Board()
    # Imported where it is wanted: it imports all of TensorBoard.
    from trainer.view.board.writing import Basic, Full

    return (Basic if str(level).lower() == "basic" else Full)(folder, hyper_parameters, results, goes_on_at)
