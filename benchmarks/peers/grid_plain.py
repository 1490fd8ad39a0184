"""A sweep by a plain script: the loop of the tutorials for every job, without logs or checkpoints.

python benchmarks/peers/grid_plain.py --model mlp --lr 1e-3 --seed 1 2 --epochs 2 --data ... --output ...
"""

from __future__ import annotations

from itertools import islice

import grid
import torch
from torch import nn
from torch.utils.data import DataLoader


def evaluate(model: nn.Module, loader: DataLoader) -> float:
    """Accuracy."""
    model.eval()
    num_correct = 0
    with torch.no_grad():
        for inputs, targets in loader:
            num_correct += (model(inputs).argmax(1) == targets).sum().item()
    return num_correct / len(loader.dataset)


def run(job: grid.Job, options: grid.Options) -> grid.Scores:
    """Train, with a validation after each epoch, and test at the end."""
    torch.manual_seed(job.seed)
    train_loader, val_loader, test_loader = grid.loaders(options.data)
    model = grid.build(job.model)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=job.lr)
    steps, best = 0, 0.0
    for epoch in range(options.epochs):
        model.train()
        for inputs, targets in islice(train_loader, options.batches):
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
        accuracy = evaluate(model, val_loader)
        best = max(best, accuracy)
        print(f"epoch {epoch + 1} loss {loss.item():.4f} accuracy {accuracy:.4f}")
    return grid.Scores(steps, best, evaluate(model, test_loader))


if __name__ == "__main__":
    grid.main(run)
