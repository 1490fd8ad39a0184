"""Choose the TensorBoard log that a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.view.board.silent import Board


def open_board(
    level: str | bool, folder: Path, hyper_parameters: Mapping[str, Any], results: list[str], resumes_at: int | None
) -> Board:
    """Return the board for `tensorboard=` full, basic or off (a yaml reads off as false).

    `results` are the tags of the final results. A resumed run continues at the step `resumes_at`: points written from
    there on before the interruption are no longer shown.
    """
    if str(level).lower() in ("off", "false"):
        return Board()
    # Imported only if needed, since it imports all of TensorBoard.
    from trainer.view.board.writing import Basic, Full

    return (Basic if str(level).lower() == "basic" else Full)(folder, hyper_parameters, results, resumes_at)
