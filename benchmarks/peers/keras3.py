"""Keras 3 on its torch backend, on arrays in memory.

    python benchmarks/peers/keras3.py --model mlp --epochs 1 --data ...

The layers, their initialisation and the training loop are Keras's; layer sizes and optimizers are those of the others.

The file is not keras.py: the folder of a script comes first on its path, so that it would import itself.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"
os.environ["KERAS_HOME"] = os.devnull  # else it writes keras.json to the home folder, or takes its settings from there

import keras
import task
from keras import layers

keras.config.set_image_data_format("channels_first")  # as torch has it, and as the images are for the others


def build(model: str) -> keras.Model:
    """The model of `task.build`, of Keras's layers."""
    if model == "line":
        return keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    stack = {
        "logistic": [],
        "mlp": [layers.Flatten(), layers.Dense(128, activation="relu")],
        "cnn": [
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
        ],
    }[model]
    return keras.Sequential([keras.Input((1, 28, 28)), *(stack or [layers.Flatten()]), layers.Dense(10)])


def optimizer_of(model: str) -> keras.optimizers.Optimizer:
    """The optimizer of `task.OPTIMIZERS`, of Keras."""
    lr = task.OPTIMIZERS[model].lr
    if model == "cnn":
        return keras.optimizers.Adadelta(lr, rho=0.9, epsilon=1e-6)  # torch's defaults
    return keras.optimizers.SGD(lr)


class Timer(keras.callbacks.Callback):
    """Tells the clock that an epoch ended."""

    def __init__(self, clock: task.Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Comes after the validation."""
        accuracy = logs.get("val_accuracy")
        self.model.stop_training = self.clock.epoch_ends(None if accuracy is None else 100 * accuracy)


def train(options: task.Options, clock: task.Clock) -> tuple[int, float]:
    """See `task.main`."""
    model, optimizer = build(options.model), optimizer_of(options.model)
    fit = {"batch_size": options.batch, "epochs": options.epochs, "callbacks": [Timer(clock)]}
    if options.is_line:
        inputs, targets = task.line(options)
        model.compile(optimizer, "mean_squared_error")
        with clock:
            model.fit(inputs, targets, **fit)
        score = task.mean_squared_error(model.predict(inputs), targets)
    else:
        (inputs, targets), test = task.mnist(options)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        with clock:
            history = model.fit(
                inputs, targets, validation_data=tuple(test), validation_batch_size=task.TEST_BATCH, **fit
            )
        score = 100 * history.history["val_accuracy"][-1]
    return int(optimizer.iterations), score


if __name__ == "__main__":
    task.main("keras", train)
