"""Datasets, a module per kind; `Splits`, `DataSpec`, `Examples` and `from_frame` make one of your own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.data.tabular import from_frame
    from trainer.data.tensors import DataSpec, Examples, Splits

__all__ = ["DataSpec", "Examples", "Splits", "from_frame"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.data import tabular, tensors  # import torch, which most of what imports this package does without

    return getattr(tabular if name == "from_frame" else tensors, name)
