"""Which columns of a table a model needs, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from trainer.engine.importance import REPEATS, Importance, Judge, columns_of, importances
from trainer.view import style
from trainer.view.outcome import Outcome, cpu_seconds, evenly_spaced
from trainer.view.words import number

SECONDS = 2.0  # to compute, at most; larger test splits are sampled
FEWEST, SEED = 100, 0
BARS = 25


def importance(outcome: Outcome) -> style.Figure | None:
    """Draw how much worse the model predicts without each column of a table."""
    columns = columns_of(outcome.spec) if outcome.spec.kind == "features" else {}
    if outcome.judge is None or len(columns) < 2:
        return None
    judge, test = replace(outcome.judge, model=outcome.eager()), outcome.data.test
    judge(test)  # the first call is slower
    total = test.num_examples
    passes = 1 + REPEATS * len(columns)
    affordable = int(total * SECONDS / passes / cpu_seconds(lambda: judge(test)))
    if affordable < min(FEWEST, total):
        return None
    index = evenly_spaced(total, affordable)
    found, score = importances(judge, test, columns, SEED, index)
    return importance_picture(found, judge, score, len(index), outcome.title(""))


def importance_picture(
    found: Sequence[Importance], judge: Judge, score: float, num_examples: int, what: str
) -> style.Figure:
    """Draw the importances, largest first, with their 95 % intervals; `what` starts the title."""
    few = f", the first {BARS} of {len(found)} columns" if len(found) > BARS else ""
    head = f"{what}{judge.metric} {number(score)} on {num_examples:,} test examples{few}"
    shown = found[:BARS]
    names = [style.short(each.name, 24) for each in shown]
    left = style.room(names) + 0.1
    picture, [panel] = style.figure(head, width=4.6, height=0.4 + 0.25 * len(shown), left=left)
    drops, low, high = torch.tensor([[each.drop, each.low, each.high] for each in shown]).T.numpy()
    places = range(len(shown))
    panel.barh(places, drops, 0.6, color=style.BLUE)
    panel.errorbar(drops, places, xerr=[drops - low, high - drops], fmt="none", ecolor=style.DARK, elinewidth=1)
    panel.axvline(0, color=style.GREY, linewidth=0.8)
    panel.set_yticks(places, names)
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.grid(False, axis="y")
    change = "drop" if judge.sign > 0 else "rise"
    panel.set_xlabel(f"{change} of {judge.metric} when the column is shuffled; mean of {REPEATS}, 95 % interval")
    return picture
