"""The TensorBoard log of a run: `Board` writes nothing and defines the interface of the boards in `writing`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainer.view.layers import Layer
from trainer.view.outcome import Outcome


class Board:
    """`tensorboard=off`: writes nothing and imports nothing of TensorBoard."""

    def hint(self, root: str) -> list[str]:
        """Return a line that says how to view the logs below `root`."""
        return []

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """Describe what is trained, and where, before the first update."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars, tag -> value, after an update."""

    def flush(self) -> None:
        """Flush everything to disk."""

    def show(self, step: int, outcome: Outcome, drawn: Mapping[str, Path], say: Callable[[str], None]) -> None:
        """Write everything but scalars, and the pictures (name -> PNG), at the end.

        Pages that fail for an unusual model are skipped with a warning.
        """

    def end(self, step: int, results: Mapping[str, float], rows: Sequence[tuple[str, Mapping[str, float]]]) -> None:
        """Write the final results for the hyperparameters, and as a table with these titled rows."""

    def fail(self) -> None:
        """Mark the run as failed; errors while writing this are ignored."""

    def close(self) -> None:
        """Close the log."""


def open_board(
    level: str | bool, folder: Path, hyper_parameters: Mapping[str, Any], metrics: Sequence[str], resumes_at: int | None
) -> Board:
    """Return the board for `tensorboard=` full, basic or off (a yaml reads off as false).

    `metrics` are the names of those measured on each split. A resumed run continues at the step `resumes_at`: points
    written from there on before the interruption are no longer shown.
    """
    if str(level).lower() in ("off", "false"):
        return Board()
    # Imported only if needed, since it imports all of TensorBoard.
    from trainer.view.board.writing import Basic, Full

    return (Basic if str(level).lower() == "basic" else Full)(folder, hyper_parameters, metrics, resumes_at)
