"""The script of the tutorials: torchvision's data set and transforms, a DataLoader, and a loop by hand.

    python benchmarks/peers/textbook.py --model cnn --epochs 5 --until 99 --data ...

As pytorch/examples does it for MNIST, with StepLR for the CNN; a line with the loss every 100 batches, as in PyTorch's
Quickstart.
"""

from __future__ import annotations

import task
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import datasets, transforms


def loaders(options: task.Options) -> tuple[DataLoader, DataLoader | None]:
    """Of the training examples, shuffled, and of the test images, if the model has any."""
    if options.is_line:
        return DataLoader(TensorDataset(*map(torch.from_numpy, task.line(options))), options.batch, shuffle=True), None
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((task.MEAN,), (task.STD,))])
    root = task.torchvision_root(options)
    train: Dataset = datasets.MNIST(root, train=True, transform=transform)
    test: Dataset = datasets.MNIST(root, train=False, transform=transform)
    if options.samples < len(train):
        train = Subset(train, range(options.samples))
    if options.test < len(test):
        test = Subset(test, range(options.test))
    return DataLoader(train, options.batch, shuffle=True), DataLoader(test, task.TEST_BATCH)


def evaluate(model: nn.Module, test_loader: DataLoader, loss_function: nn.Module) -> float:
    """Accuracy in percent."""
    model.eval()
    total_loss, num_correct = 0.0, 0
    with torch.no_grad():
        for inputs, targets in test_loader:
            outputs = model(inputs)
            total_loss += loss_function(outputs, targets).item()
            num_correct += (outputs.argmax(1) == targets).sum().item()
    accuracy = 100 * num_correct / len(test_loader.dataset)
    print(f"test loss {total_loss / len(test_loader):.4f}, accuracy {accuracy:.2f}%")
    return accuracy


def train(options: task.Options, clock: task.Clock) -> tuple[int, float]:
    """See `task.main`."""
    train_loader, test_loader = loaders(options)
    model = task.build(options.model)
    loss_function = task.loss_of(options.model)
    optimizer_type, lr = task.OPTIMIZERS[options.model]
    optimizer = optimizer_type(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7) if options.model == "cnn" else None
    steps, accuracy = 0, None
    with clock:
        for epoch in range(options.epochs):
            model.train()
            for batch, (inputs, targets) in enumerate(train_loader):
                loss = loss_function(model(inputs), targets)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
                if batch % 100 == 0:
                    print(f"epoch {epoch + 1} batch {batch} loss {loss.item():.6f}")
            if test_loader:
                accuracy = evaluate(model, test_loader, loss_function)
            if scheduler:
                scheduler.step()
            if clock.epoch_ends(accuracy):
                break
    if options.is_line:
        inputs, targets = task.line(options)
        with torch.no_grad():
            accuracy = task.mean_squared_error(model(torch.from_numpy(inputs)).numpy(), targets)
    return steps, accuracy


if __name__ == "__main__":
    task.main("textbook", train)
