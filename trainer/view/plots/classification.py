"""Which classes of the test split are confused: confusion matrix, precision and recall."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.view import style
from trainer.view.outcome import Outcome, probabilities

MATRIX_CLASSES = 20  # beyond which a matrix is unreadable
BAR_CLASSES = 25


def confusion_counts(outcome: Outcome) -> Tensor:
    """Count the examples of each true class (rows) by predicted class (columns): `(K, K)` int64."""
    predicted, true = probabilities(outcome.outputs), outcome.true_classes
    number = predicted.shape[1]
    return torch.bincount(true * number + predicted.argmax(1), minlength=number**2).view(number, number)


def confusion(outcome: Outcome) -> style.Figure | None:
    """Draw the confusion matrix or, for many classes, the pairs most often confused."""
    if not outcome.has_classes:
        return None
    counts, names = confusion_counts(outcome), [style.short(name) for name in outcome.class_names]
    right, total = int(counts.diagonal().sum()), int(counts.sum())
    head = outcome.title(f"{right:,} of {total:,} test examples correct, {100 * right / total:.2f} %")
    return (_matrix if len(names) <= MATRIX_CLASSES else _pairs)(counts, names, head)


def _matrix(counts: Tensor, names: list[str], head: str) -> style.Figure:
    """Colour each cell by its share of the row and write the number of examples in it."""
    shares = (counts / counts.sum(1, keepdim=True).clamp_min(1)).numpy()
    number, margin = len(names), style.room(names)
    side = max(2.6, min(6.6, 0.46 * number))
    upright = max(map(len, names)) * number > 8 * side * 1.6
    below = (margin if upright else 0.25) + 0.3
    picture, [panel] = style.figure(head, width=side, height=side, left=margin + 0.3, below=below)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(counts.tolist()):
        for column, count in enumerate(line):
            if count:
                share = 100 * shares[row, column]
                text = f"{count:,}" if number > 10 or share < 0.5 else f"{count:,}\n{share:.0f} %"
                ink = "white" if shares[row, column] > 0.5 else style.DARK
                panel.text(column, row, text, color=ink, fontsize=7, ha="center", va="center", linespacing=1.1)
    panel.set_xticks(range(number), names, rotation=90 if upright else 0)
    panel.set_yticks(range(number), names)
    panel.set(xlabel="predicted (percent of the row)" if number <= 10 else "predicted", ylabel="true")
    panel.grid(False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    return picture


def _pairs(counts: Tensor, names: list[str], head: str) -> style.Figure:
    """Draw the 20 most frequent mistakes as bars."""
    wrong = counts.clone().fill_diagonal_(0).flatten()
    most = [index for index in wrong.argsort(descending=True)[:20].tolist() if wrong[index]]
    labels = [f"{names[i // len(names)]} → {names[i % len(names)]}" for i in most]
    picture, [panel] = style.figure(head, width=4.8, height=0.5 + 0.2 * len(most), left=style.room(labels) + 0.3)
    panel.barh(labels, wrong[most].numpy(), color=style.VERMILION)
    panel.invert_yaxis()
    panel.grid(False, axis="y")
    panel.set(xlabel="test examples", ylabel="true → predicted")
    return picture


def classes(outcome: Outcome) -> style.Figure | None:
    """Draw precision and recall of each class, or of those with the lowest F1 if there are many."""
    if not outcome.has_classes:
        return None
    counts = confusion_counts(outcome).double()
    hits, predicted, true = counts.diagonal(), counts.sum(0), counts.sum(1)
    precision, recall = hits / predicted.clamp_min(1), hits / true.clamp_min(1)
    f1 = 2 * hits / (predicted + true).clamp_min(1)
    shown = [index for index in range(len(f1)) if predicted[index] + true[index]]
    mean = float(f1[shown].mean())
    worst = sorted(shown, key=lambda index: float(f1[index]))[:BAR_CLASSES]
    shown = sorted(worst) if len(shown) <= BAR_CLASSES else worst
    names = outcome.class_names
    labels = [f"{style.short(names[index])} ({int(true[index]):,})" for index in shown]
    few = f", the lowest {len(shown)} shown" if len(shown) < len(names) else ""
    head, left = outcome.title(f"mean F1 of the classes {mean:.3f}{few}"), style.room(labels) + 0.3
    picture, [panel] = style.figure(head, width=5.0, height=0.6 + 0.27 * len(shown), left=left, above=0.65)
    places = torch.arange(len(shown)).numpy()
    for name, values, up, colour in [
        ("precision", precision, -0.2, style.BLUE),
        ("recall", recall, 0.2, style.ORANGE),
    ]:
        bars = panel.barh(places + up, values[shown].numpy(), 0.38, color=colour, label=name)
        panel.bar_label(bars, fmt="%.3f", padding=2, fontsize=6.5)
    panel.set_yticks(places, labels)
    panel.set(ylim=(len(shown) - 0.4, -0.6), xlabel="score; in parentheses the number of test examples of each class")
    panel.set_xlim(0, 1.08)
    panel.grid(False, axis="y")
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1)
    return picture
