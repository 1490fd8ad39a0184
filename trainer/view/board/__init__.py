"""What a run tells TensorBoard. The board here writes nothing; writing.py has those that do, imported when wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
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

    def end(
        self,
        step: int,
        results: Mapping[str, float],
        outcome: Outcome,
        drawn: Mapping[str, Path],
        say: Callable[[str], None],
    ) -> None:
        """The results that the hyper-parameters led to, what there is to look at, and the pictures: name -> PNG.

        What cannot be made of an odd model is said in a line, and the rest is written.
        """


def open_board(
    level: str | bool, folder: Path, hyper_parameters: Mapping[str, Any], results: list[str], goes_on_at: int | None
) -> Board:
    """The board for `tensorboard=`full, basic or off, which a yaml reads as false.

    `results` are the tags of what `end` will be told. A run that goes on does so at the step `goes_on_at`: what was
    written from there on before it was broken off is not shown any more.
    """
    if str(level).lower() in ("off", "false"):
        return Board()
    from trainer.view.board.writing import Basic, Full

    return (Basic if str(level).lower() == "basic" else Full)(folder, hyper_parameters, results, goes_on_at)


def hyper_parameters(cfg: DictConfig, names: Mapping[str, str]) -> dict[str, Any]:
    """Dotted key -> value of all that was chosen; a component stands as its name, such as model -> resnet."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    found: dict[str, Any] = dict(names)
    for key, value in plain.items():
        if key in ("dry_run", "resume", "checkpoint", "plots", "tensorboard"):  # how a run is kept, and not what it is
            continue
        if isinstance(value, dict):
            found |= {f"{key}.{name}": item for name, item in value.items() if name != "_target_"}
        else:
            found[key] = value
    return found
