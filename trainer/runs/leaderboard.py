"""What a sweep has found: jobs that differ in their seed alone are a row, ranked by the metric that was monitored.

Nothing here prints, and nothing imports torch.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from trainer.config.keys import key_values
from trainer.runs.index import Run
from trainer.runs.ledger import ENDED, Event, Ledger

HIGHER_IS_BETTER = {
    "accuracy": True,
    "f1": True,
    "top5": True,
    "auc": True,
    "r2": True,
    "loss": False,
    "mse": False,
    "rmse": False,
    "mae": False,
}  # metric -> which way; trainer.metrics measures them, with torch


class Spread(NamedTuple):
    """Mean and sample standard deviation; of a single value, or of one that is no number, the latter is NaN."""

    mean: float
    std: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    mean = sum(values) / len(values)
    return Spread(mean, statistics.stdev(values) if len(values) > 1 and math.isfinite(mean) else math.nan)


class Job(NamedTuple):
    """One that has a result."""

    number: int
    folder: Path
    values: dict[str, str]  # key -> value of its overrides
    metric: str
    objective: float  # that metric on the validation split, in the best epoch
    test: float  # the same on the test split; NaN of a job that was pruned
    seconds: float
    pruned_after: int | None  # epochs
    data: str
    baseline: float  # on the test split


class Row(NamedTuple):
    """Jobs with everything but the seed equal; pruned ones are rows of their own."""

    values: dict[str, str]  # of the leaderboard's keys
    jobs: list[Job]
    missing: int  # seeds of the same values that have failed, were pruned, or are not done

    @property
    def objective(self) -> Spread:
        """Over the seeds."""
        return spread([job.objective for job in self.jobs])

    @property
    def test(self) -> Spread:
        """Over the seeds."""
        return spread([job.test for job in self.jobs])

    @property
    def seconds(self) -> float:
        """Of a job, on average."""
        return spread([job.seconds for job in self.jobs]).mean

    @property
    def pruned_after(self) -> int | None:
        """Epochs."""
        return self.jobs[0].pruned_after


class Group(NamedTuple):
    """Rows that can be ranked, the best first: values of another metric, or on other data, say nothing about these."""

    metric: str
    data: str
    rows: list[Row]
    baseline: Spread | None  # over the seeds, since they draw the splits

    @property
    def higher_is_better(self) -> bool:
        """What is better of two values of the metric."""
        return HIGHER_IS_BETTER[self.metric]

    @property
    def best(self) -> Job | None:
        """The best job of the first row, if one has finished with a number."""
        row, sign = self.rows[0], 1 if self.higher_is_better else -1
        finite = [job for job in row.jobs if math.isfinite(job.objective)]
        return max(finite, key=lambda job: sign * job.objective) if finite and row.pruned_after is None else None


class Leaderboard(NamedTuple):
    """All groups, in the order in which their first jobs were begun, and what there is beside them."""

    folder: Path
    keys: list[str]  # that differ, the seed apart
    groups: list[Group]
    failed: dict[int, Event]
    pending: dict[int, Event]  # begun, and neither finished nor failed
    num_jobs: int  # of the whole sweep


def leaderboard(folder: Path) -> Leaderboard:
    """Of the sweep in `folder`, as far as it has come."""
    ledger = Ledger(folder)
    events = ledger.jobs()
    values = {number: key_values(event["overrides"]) for number, event in events.items()}
    every = dict.fromkeys(key for found in values.values() for key in found)
    keys = [key for key in every if key != "seed" and len({found.get(key) for found in values.values()}) > 1]
    begun = Counter(_chosen(found, keys) for found in values.values())
    comparable: dict[tuple[str, ...], list[Job]] = {}
    for number, event in events.items():
        if event["event"] in ("finished", "pruned"):
            job = _job(folder, event, values[number])
            comparable.setdefault(_scale(job), []).append(job)
    return Leaderboard(
        folder,
        keys,
        [_group(jobs, keys, begun) for jobs in comparable.values()],
        {n: event for n, event in events.items() if event["event"] == "failed"},
        {n: event for n, event in events.items() if event["event"] not in ENDED},
        ledger.num_jobs(),
    )


def _job(folder: Path, event: Event, values: dict[str, str]) -> Job:
    place = folder / event["folder"]
    summary, names = _result(place, event["time"])
    metric, is_pruned = event["metric"], event["event"] == "pruned"
    return Job(
        event["job"],
        place,
        values,
        metric,
        float(event["objective"]),
        math.nan if is_pruned else float(summary.get("test", {}).get(metric, math.nan)),
        float(event.get("seconds", math.nan)),
        event["epoch"] if is_pruned else None,
        str(names.get("data", "")),
        float(summary.get("baseline", {}).get(metric, math.nan)),
    )


@lru_cache(maxsize=10_000)
def _result(folder: Path, ended: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a job has written at its end, and what was chosen; read again if it has ended again."""
    job = Run(folder)
    return job.summary, job.names


def _scale(job: Job) -> tuple[str, ...]:
    """What objectives that can be compared have in common; a loss is no better for being smaller than another's."""
    loss = job.values.get("loss", "") if job.metric == "loss" else ""
    return job.metric, job.data, job.values.get("data.path", ""), loss


def _chosen(values: Mapping[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(values.get(key, "") for key in keys)


def _group(jobs: Sequence[Job], keys: Sequence[str], begun: Mapping[tuple[str, ...], int]) -> Group:
    metric, data = jobs[0].metric, jobs[0].data
    same: dict[tuple[Any, ...], list[Job]] = {}
    for job in jobs:
        same.setdefault((_chosen(job.values, keys), job.pruned_after), []).append(job)
    rows = [
        Row(dict(zip(keys, chosen, strict=True)), found, begun[chosen] - len(found))
        for (chosen, _), found in same.items()
    ]
    sign = -1 if HIGHER_IS_BETTER[metric] else 1

    def order(row: Row) -> tuple[bool, bool, int, float]:
        """What ended counts more than what was pruned, what went further than what did not; no number comes last."""
        mean, is_number = row.objective.mean, math.isfinite(row.objective.mean)
        return not is_number, row.pruned_after is not None, -(row.pruned_after or 0), sign * mean if is_number else 0.0

    baselines = {job.values.get("seed"): job.baseline for job in jobs if math.isfinite(job.baseline)}
    return Group(metric, data, sorted(rows, key=order), spread([*baselines.values()]) if baselines else None)
