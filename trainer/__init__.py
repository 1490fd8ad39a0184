"""Train any model on any data with any loss and any optimizer, chosen by name on one command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.api import Model, Run, errors, load, sweep, train

__version__ = "0.1.0"
__all__ = ["Model", "Run", "errors", "load", "sweep", "train"]


def __getattr__(name: str) -> Any:
    """Return what Python programs use; see `trainer.api`, which is imported with the first of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer import api

    return getattr(api, name)
