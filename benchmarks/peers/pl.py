"""Lightning, on the DataLoaders of the textbook script.

    python benchmarks/peers/pl.py --model mlp --epochs 1 --data ...

The Trainer's progress bar, TensorBoard logger, checkpoints, model summary and sanity check are at their defaults. Its
bar is Rich's where rich is installed, as it is beside Keras, else tqdm's. To a file Rich writes only its last state,
and the tiny problem takes some 5 % less time than with tqdm's.

The file is not lightning.py: the folder of a script comes first on its path, so that it would import itself.
"""

from __future__ import annotations

import lightning as L
import task
import textbook
import torch
import torch.utils.tensorboard  # Lightning imports it within fit: not while the clock runs
from torch import Tensor


class Module(L.LightningModule):
    """A model of the task, with its loss and its optimizer."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = task.build(model)
        self.loss_function = task.loss_of(model)
        self.optimizer = task.OPTIMIZERS[model]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        return self.model(inputs)

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of a batch."""
        inputs, targets = batch
        loss = self.loss_function(self(inputs), targets)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        """Log loss and accuracy of a batch, of which Lightning logs the mean over the epoch."""
        inputs, targets = batch
        outputs = self(inputs)
        self.log("val_loss", self.loss_function(outputs, targets))
        self.log("val_accuracy", (outputs.argmax(1) == targets).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD or Adadelta."""
        return self.optimizer.type(self.parameters(), lr=self.optimizer.lr)


class Timer(L.Callback):
    """Tells the clock that an epoch ended."""

    def __init__(self, clock: task.Clock) -> None:
        self.clock = clock

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Comes after the validation."""
        accuracy = trainer.callback_metrics.get("val_accuracy")
        trainer.should_stop = self.clock.epoch_ends(None if accuracy is None else 100 * accuracy.item())


def train(options: task.Options, clock: task.Clock) -> tuple[int, float]:
    """See `task.main`."""
    train_loader, test_loader = textbook.loaders(options)
    module = Module(options.model)
    trainer = L.Trainer(max_epochs=options.epochs, accelerator="cpu", callbacks=[Timer(clock)])
    with clock:
        trainer.fit(module, train_loader, test_loader)
    if options.is_line:
        inputs, targets = task.line(options)
        with torch.no_grad():
            score = task.mean_squared_error(module(torch.from_numpy(inputs)).numpy(), targets)
    else:
        score = 100 * trainer.callback_metrics["val_accuracy"].item()
    return trainer.global_step, score


if __name__ == "__main__":
    task.main("lightning", train)
