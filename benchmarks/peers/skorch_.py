"""skorch, on arrays in memory.

    python benchmarks/peers/skorch_.py --model mlp --epochs 1 --data ...

The callbacks are at their defaults: a table of losses, accuracy and time, a row an epoch.

The file is not skorch.py: the folder of a script comes first on its path, so that it would import itself.
"""

from __future__ import annotations

import skorch
import task
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from skorch.helper import predefined_split


class Timer(Callback):
    """Tells the clock that an epoch ended."""

    def __init__(self, clock: task.Clock) -> None:
        self.clock = clock

    def on_epoch_end(self, net: skorch.NeuralNet, **_: object) -> None:
        """Comes after the validation."""
        accuracy = net.history[-1].get("valid_acc")
        if self.clock.epoch_ends(None if accuracy is None else 100 * accuracy):
            raise KeyboardInterrupt  # skorch's own way to stop early


def train(options: task.Options, clock: task.Clock) -> tuple[int, float]:
    """See `task.main`."""
    optimizer_type, lr = task.OPTIMIZERS[options.model]
    net_type = skorch.NeuralNetRegressor if options.is_line else skorch.NeuralNetClassifier
    (inputs, targets), test = (task.line(options), None) if options.is_line else task.mnist(options)
    net = net_type(
        task.build(options.model),
        criterion=task.loss_of(options.model),
        optimizer=optimizer_type,
        lr=lr,
        max_epochs=options.epochs,
        batch_size=options.batch,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=task.TEST_BATCH,
        train_split=predefined_split(Dataset(*test)) if test else None,
        callbacks=[Timer(clock)],
    )
    with clock:
        net.fit(inputs, targets)
    if options.is_line:
        score = task.mean_squared_error(net.predict(inputs), targets)
    else:
        score = 100 * net.history[-1, "valid_acc"]
    return sum(net.history[:, "train_batch_count"]), score


if __name__ == "__main__":
    task.main("skorch", train)
