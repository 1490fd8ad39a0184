"""TensorBoard: which board a run writes to, and which of its settings are hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

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


def hyper_parameters(cfg: DictConfig, names: Mapping[str, str]) -> dict[str, Any]:
    """Dotted key -> value of all that was chosen; a component stands as its name, such as model -> resnet."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    found: dict[str, Any] = dict(names)
    for key, value in plain.items():
        if key in (
            "dry_run",
            "resume",
            "checkpoint",
            "plots",
            "sweep",
            "tensorboard",
        ):  # how a run is kept, and not what it is
            continue
        if isinstance(value, dict):
            found |= {f"{key}.{name}": item for name, item in value.items() if name != "_target_"}
        else:
            found[key] = value
    return found
