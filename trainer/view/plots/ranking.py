"""How well the probabilities rank the examples of a class before others: ROC and precision-recall curves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainer.view import style
from trainer.view.outcome import Outcome, evenly_spaced

MOST = 100_000  # examples times classes to sort, but at least LEAST examples
LEAST = 5_000


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
    panels[0].set(xlabel="false positive rate", ylabel="recall (true positive rate)")
    panels[1].set(xlabel="recall", ylabel="precision")
    panels[0].set_title("ROC", loc="left")
    panels[1].set_title("precision-recall", loc="left")
    listed = "class" if is_binary else f"worst of {len(scores)} classes" if len(worst) < len(curves) else "classes"
    for panel in panels:
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.legend(title=f"{listed}: area")
    return picture
