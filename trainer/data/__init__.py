"""Datasets, a module per kind. `Splits`, `DataSpec` and `Examples`, of which a dataset consists, are found here too."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.data.tensors import DataSpec, Examples, Splits

__all__ = ["DataSpec", "Examples", "Splits"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.data import tensors  # imports torch, which most of what imports this package does without

    return getattr(tensors, name)
