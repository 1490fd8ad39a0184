"""Which loss fits which task. The losses themselves are torch's."""

from __future__ import annotations

from torch import nn

OF_TASK = {
    "regression": nn.MSELoss,
    "binary": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
}
FITS = {
    nn.MSELoss: "regression",
    nn.L1Loss: "regression",
    nn.BCEWithLogitsLoss: "binary",
    nn.CrossEntropyLoss: "multiclass",
}


def auto(task: str) -> nn.Module:
    """The task's own loss: mean squared error, or the negative log-likelihood of the classes."""
    return OF_TASK[task]()


def check_fit(loss: object, task: str) -> None:
    """Refuse a known loss on a task that it has no meaning for; a loss of the user's own is theirs to know.

    Raises:
        ValueError: names the task, and the option that fits it.
    """
    meant_for = FITS.get(type(loss), task)
    if meant_for != task:
        raise ValueError(f"it is for {meant_for}, and this data is {task}; loss=auto fits")
