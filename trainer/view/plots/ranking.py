"""How well the probabilities put the examples of a class before the others: ROC and precision-recall curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from trainer.view import style
from trainer.view.outcome import Outcome
from trainer.view.plots._reading import class_names, has_classes, some, title, true_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 100_000  # examples times classes that are sorted, and so many of each class at least as
LEAST = 5_000


class Curves(NamedTuple):
    """Of a class against all others, from the strictest threshold to none; the points `(T,)`."""

    false_positives: Tensor  # share of the others
    recall: Tensor  # share of the class
    precision: Tensor  # share of the class among what is said to be of it
    auc: float  # area under recall against false positives, equal scores counted half
    average_precision: float  # sum of precision times the growth of recall


def ranked(scores: Tensor, positive: Tensor) -> Curves | None:
    """Curves of scores `(N,)` for a class that is there where `positive`; nothing where all or none are.

    As in scikit-learn's `roc_curve` and `average_precision_score`: a point for each distinct score.
    """
    order = scores.argsort(descending=True)
    scores, positive = scores[order], positive[order].double()
    ends = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])  # the last of equal scores
    hits, said = positive.cumsum(0)[ends], (torch.arange(len(scores), dtype=torch.float64) + 1)[ends]
    if not 0 < hits[-1] < said[-1]:
        return None
    zero = torch.zeros(1, dtype=torch.float64)
    recall, others = torch.cat([zero, hits / hits[-1]]), torch.cat([zero, (said - hits) / (said - hits)[-1]])
    precision = torch.cat([zero + 1, hits / said])
    average = float((recall.diff() * precision[1:]).sum())
    return Curves(others, recall, precision, float(torch.trapezoid(recall, others)), average)


def roc_pr(outcome: Outcome) -> Figure | None:
    """Both curves: of the second of two classes, or of each class against the others, the worst ones named."""
    if not has_classes(outcome):
        return None
    true, names = true_classes(outcome), class_names(outcome)
    index = some(len(true), max(LEAST, MOST // len(names)))
    true, outputs = true[index], outcome.outputs[index].double().nan_to_num()
    # The logit ranks as its sigmoid does, and keeps apart what that rounds to 1.
    scores = {1: outputs[:, 0]} if outputs.shape[1] == 1 else dict(enumerate(outputs.softmax(1).unbind(1)))
    made = {number: curve for number, score in scores.items() if (curve := ranked(score, true == number))}
    if not made:
        return None
    auc, average = (sum(c[i] for c in made.values()) / len(made) for i in (3, 4))
    whose = "" if len(scores) == 1 else "mean "
    some_of = f" of {len(index):,} examples" if len(index) < len(outcome.targets) else ""
    head = title(outcome, f"{whose}area under ROC {auc:.4f}, under precision-recall {average:.4f}{some_of}")
    picture, panels = style.figure(head, 2, width=3.6, height=3.4, above=0.65)
    worst = sorted(made, key=lambda number: made[number].average_precision)[: 1 if len(scores) == 1 else 4]
    for number, curve in made.items():
        colour = style.COLOURS[worst.index(number)] if number in worst else style.LIGHT
        points = some(len(curve.recall), 500)
        name = style.short(names[number])
        for panel, x, y, area in [
            (panels[0], curve.false_positives, curve.recall, curve.auc),
            (panels[1], curve.recall, curve.precision, curve.average_precision),
        ]:
            label = f"{name}: {area:.4f}" if number in worst else None
            panel.plot(x[points], y[points], color=colour, label=label, zorder=3 if number in worst else 2)
    share = {1: float((true == 1).double().mean())} if len(scores) == 1 else {}
    panels[0].plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=1, label="by chance")
    for chance in share.values():
        panels[1].axhline(chance, color=style.GREY, linestyle="--", linewidth=1, label="by chance")
    panels[0].set(xlabel="false positives: share of the others", ylabel="recall: share of the class")
    panels[1].set(xlabel="recall: share of the class", ylabel="precision: share of what is said")
    panels[0].set_title("ROC", loc="left")
    panels[1].set_title("precision-recall", loc="left")
    of = "class" if len(scores) == 1 else f"worst of {len(scores)} classes" if len(worst) < len(made) else "classes"
    for panel in panels:
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.legend(title=f"{of}: area")
    return picture
