"""The board that writes nothing; what it can be told is what every board can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainer.view.layers import Layer
from trainer.view.outcome import Outcome


class Board:
    """`tensorboard=off`: nothing is written, and nothing of TensorBoard imported."""

    def hint(self, root: str) -> list[str]:
        """A line that says how to look at what is written below `root`."""
        return []

    def describe(
        self, model: nn.Module, sample: Tensor, layers: Sequence[Layer], config: str, environment: Mapping[str, Any]
    ) -> None:
        """Before the first update: what is trained, as it reads `sample`, and where."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Tag -> value after an update."""

    def flush(self) -> None:
        """Everything so far on disk."""

    def show(self, step: int, outcome: Outcome, drawn: Mapping[str, Path], say: Callable[[str], None]) -> None:
        """At the end, what there is to look at, and the pictures: name -> PNG.

        What cannot be made of an odd model is said in a line, and the rest is written.
        """

    def end(self, step: int, results: Mapping[str, float]) -> None:
        """The results that the hyper-parameters led to."""

    def fail(self) -> None:
        """The run has failed; an error in writing that is none."""

    def close(self) -> None:
        """Nothing follows."""
