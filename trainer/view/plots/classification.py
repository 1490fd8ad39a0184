"""How well classes of the test split are told apart: confusion matrix, precision and recall, ROC."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainer.view import style
from trainer.view.outcome import Outcome, evenly_spaced, probabilities

MATRIX_CLASSES = 20  # beyond which a matrix is unreadable
BAR_CLASSES = 25
BINS = 15  # of probabilities
MOST, LEAST = 100_000, 5_000  # examples times classes to sort for ROC at most, but at least so many examples


def confusion_counts(outcome: Outcome) -> Tensor:
    """Count the examples of each true class (rows) by predicted class (columns): `(K, K)` int64."""
    chances, true = probabilities(outcome.outputs), outcome.true_classes
    number = chances.shape[1]
    return torch.bincount(true * number + outcome.spec.chosen(chances), minlength=number**2).view(number, number)


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
    for name, values, up, colour in [("precision", precision, -0.2, style.BLUE), ("recall", recall, 0.2, style.ORANGE)]:
        bars = panel.barh(places + up, values[shown].numpy(), 0.38, color=colour, label=name)
        panel.bar_label(bars, fmt="%.3f", padding=2, fontsize=6.5)
    panel.set_yticks(places, labels)
    panel.set(xlim=(0, 1.08), ylim=(len(shown) - 0.4, -0.6))
    panel.set_xlabel("score; in parentheses the number of test examples of each class")
    panel.grid(False, axis="y")
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1)
    return picture


class Curves(NamedTuple):
    """One class against all others, from the strictest threshold to none; points `(T,)`."""

    false_positives: Tensor  # false positive rate
    recall: Tensor
    precision: Tensor
    auc: float  # area under recall against false positive rate
    average_precision: float  # sum of precision times the increase of recall


def ranked(scores: Tensor, positive: Tensor) -> Curves | None:
    """Return the curves of scores `(N,)` for the class that `positive` marks; None if it marks all or none.

    There is a point for each distinct score, as in scikit-learn's `roc_curve` and `average_precision_score`.
    """
    order = scores.argsort(descending=True)
    scores, positive = scores[order], positive[order].double()
    ends = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])  # the last of equal scores
    hits, predicted = positive.cumsum(0)[ends], (torch.arange(len(scores), dtype=torch.float64) + 1)[ends]
    if not 0 < hits[-1] < predicted[-1]:
        return None
    zero, false = torch.zeros(1, dtype=torch.float64), predicted - hits
    recall, others = torch.cat([zero, hits / hits[-1]]), torch.cat([zero, false / false[-1]])
    precision = torch.cat([zero + 1, hits / predicted])
    average = float((recall.diff() * precision[1:]).sum())
    return Curves(others, recall, precision, float(torch.trapezoid(recall, others)), average)


def roc_pr(outcome: Outcome) -> style.Figure | None:
    """Draw both curves: of the second of two classes, or of each class against the others, the worst ones named."""
    if not outcome.has_classes:
        return None
    true, names = outcome.true_classes, outcome.class_names
    index = evenly_spaced(len(true), max(LEAST, MOST // len(names)))
    true, outputs = true[index], outcome.outputs[index].double().nan_to_num()
    # A logit ranks like its sigmoid, but does not round to 1.
    scores = {1: outputs[:, 0]} if outputs.shape[1] == 1 else dict(enumerate(outputs.softmax(1).unbind(1)))
    is_binary = len(scores) == 1
    curves = {number: curve for number, score in scores.items() if (curve := ranked(score, true == number))}
    if not curves:
        return None
    auc, average = (sum(c[i] for c in curves.values()) / len(curves) for i in (3, 4))
    mean = "" if is_binary else "mean "
    some_of = f" of {len(index):,} examples" if len(index) < len(outcome.targets) else ""
    head = outcome.title(f"{mean}area under ROC {auc:.4f}, under precision-recall {average:.4f}{some_of}")
    picture, panels = style.figure(head, 2, width=3.6, height=3.4, above=0.65)
    worst = sorted(curves, key=lambda number: curves[number].average_precision)[: 1 if is_binary else 4]
    for number, curve in curves.items():
        colour = style.COLOURS[worst.index(number)] if number in worst else style.LIGHT
        points = evenly_spaced(len(curve.recall), 500)
        name = style.short(names[number])
        for panel, x, y, area in [
            (panels[0], curve.false_positives, curve.recall, curve.auc),
            (panels[1], curve.recall, curve.precision, curve.average_precision),
        ]:
            label = f"{name}: {area:.4f}" if number in worst else None
            panel.plot(x[points], y[points], color=colour, label=label, zorder=3 if number in worst else 2)
    panels[0].plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=1, label="chance")
    if is_binary:
        share = float((true == 1).double().mean())
        panels[1].axhline(share, color=style.GREY, linestyle="--", linewidth=1, label="chance")
    listed = "class" if is_binary else f"worst of {len(scores)} classes" if len(worst) < len(curves) else "classes"
    for panel, name, across, up in [
        (panels[0], "ROC", "false positive rate", "recall (true positive rate)"),
        (panels[1], "precision-recall", "recall", "precision"),
    ]:
        panel.set(xlabel=across, ylabel=up, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.set_title(name, loc="left")
        panel.legend(title=f"{listed}: area")
    return picture


def reliability(outcome: Outcome) -> style.Figure | None:
    """Draw how often a prediction of each confidence is right, beside how often it should be.

    Bins are those of the expected calibration error (Guo et al. 2017, On Calibration of Modern Neural Networks).
    """
    if not outcome.has_classes:
        return None
    chances, true = probabilities(outcome.outputs).double(), outcome.true_classes
    is_binary = chances.shape[1] == 2
    confidence = chances[:, 1] if is_binary else chances.max(1).values
    happens = (true if is_binary else chances.argmax(1) == true).double()
    places = (confidence * BINS).long().clamp(0, BINS - 1)
    count = torch.bincount(places, minlength=BINS)
    said, seen = (torch.bincount(places, each, BINS) / count for each in (confidence, happens))
    full = count > 0
    gap = float((count * (said - seen).abs())[full].sum() / count.sum())
    head = outcome.title(f"mean gap of probability and frequency {gap:.4f}, {len(true):,} test examples")
    picture, panels = style.figure(head, 2, width=3.6, height=3.2)
    middles = (torch.arange(BINS) + 0.5) / BINS
    panels[0].plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=1, label="as they should be")
    panels[0].plot(
        said[full].numpy(), seen[full].numpy(), "o-", color=style.BLUE, markersize=4, label="on the test split"
    )
    who = f"of being {style.short(outcome.class_names[1])}" if is_binary else "of the predicted class"
    panels[0].set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=f"probability {who}", ylabel="how often it is so")
    panels[0].legend(loc="upper left")
    panels[1].bar(middles.numpy(), count.numpy(), 0.9 / BINS, color=style.BLUE)
    panels[1].set(xlim=(-0.02, 1.02), xlabel=f"probability {who}", ylabel="test examples")
    return picture
