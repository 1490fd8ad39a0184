"""A sweep with Lightning: a Trainer for every job, with TensorBoard, metrics.csv, and checkpoints of the last and best.

python benchmarks/peers/grid_lightning.py --model mlp --lr 1e-3 --seed 1 2 --epochs 2 --data ... --output ...
"""

from __future__ import annotations

import grid
import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn


class Module(L.LightningModule):
    """A model of the grid, with its loss and its optimizer."""

    def __init__(self, job: grid.Job) -> None:
        super().__init__()
        self.save_hyperparameters(job._asdict())
        self.model = grid.build(job.model)
        self.loss_function = nn.CrossEntropyLoss()
        self.lr = job.lr

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        return self.model(inputs)

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of a batch."""
        inputs, targets = batch
        loss = self.loss_function(self(inputs), targets)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        """Log the accuracy of a batch, of which Lightning logs the mean over the epoch."""
        self._measure("val", batch)

    def test_step(self, batch: list[Tensor], batch_index: int) -> None:
        """The same of the test images."""
        self._measure("test", batch)

    def _measure(self, split: str, batch: list[Tensor]) -> None:
        inputs, targets = batch
        outputs = self(inputs)
        self.log(f"{split}/loss", self.loss_function(outputs, targets))
        self.log(f"{split}/accuracy", (outputs.argmax(1) == targets).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def run(job: grid.Job, options: grid.Options) -> grid.Scores:
    """Fit, and test with the weights of the best epoch."""
    L.seed_everything(job.seed, verbose=False)
    train_loader, val_loader, test_loader = grid.loaders(options.data)
    best = ModelCheckpoint(options.output / "checkpoints", monitor="val/accuracy", mode="max", save_last=True)
    trainer = L.Trainer(
        max_epochs=options.epochs,
        limit_train_batches=options.batches,
        accelerator="cpu",
        logger=[TensorBoardLogger(options.output, "tensorboard"), CSVLogger(options.output, "csv")],
        callbacks=[best],
    )
    trainer.fit(Module(job), train_loader, val_loader)
    steps = trainer.global_step
    test = trainer.test(dataloaders=test_loader, ckpt_path="best", verbose=False)[0]["test/accuracy"]
    return grid.Scores(steps, float(best.best_model_score), test)


if __name__ == "__main__":
    grid.main(run)
