"""Rank the jobs of a sweep by the monitored metric; jobs that differ only in their seeds or fold share a row.

Nothing here prints or imports torch.
"""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from trainer.config.keys import REPLICATES, key_values
from trainer.metrics.bounds import Interval
from trainer.metrics.names import HIGHER_IS_BETTER
from trainer.runs.index import Run
from trainer.runs.ledger import ENDED, Event, Ledger


class Spread(NamedTuple):
    """Mean and sample standard deviation; the latter is NaN for a single value or a mean that is not finite."""

    mean: float
    std: float


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of at least one value."""
    mean = sum(values) / len(values)
    return Spread(mean, statistics.stdev(values) if len(values) > 1 and math.isfinite(mean) else math.nan)


class Job(NamedTuple):
    """A job that has a result."""

    number: int
    folder: Path
    values: dict[str, str]  # key -> value of its overrides
    metric: str
    objective: float  # that metric on the validation split, in the best epoch
    test: float  # that metric on the test split; NaN if the job was pruned
    seconds: float
    pruned_after: int | None  # epochs
    data: str
    baseline: float  # on the test split
    run: Run

    @property
    def replicate(self) -> tuple[str, ...]:
        """Its seeds and fold, in which the jobs of a row differ."""
        return _replicate(self.values)

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values of its metric are better."""
        return HIGHER_IS_BETTER.get(self.metric, self.run.summary.get("higher_is_better", False))

    @property
    def draws(self) -> dict[str, Any]:
        """The bootstrap draws of its test metric; see `Run.draws`."""
        return self.run.draws

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the test metric, if it has one."""
        low, high = self.run.summary.get("test_interval", {}).get(self.metric, (math.nan, math.nan))
        return None if math.isnan(float(low)) or math.isnan(float(high)) else (float(low), float(high))


class Row(NamedTuple):
    """Jobs that differ only in their seeds or fold; pruned ones form rows of their own."""

    values: dict[str, str]  # by the leaderboard's keys
    jobs: list[Job]
    missing: int  # jobs with these values that failed, were pruned, or are pending

    @property
    def objective(self) -> Spread:
        """The objective over the jobs."""
        return spread([job.objective for job in self.jobs])

    @property
    def loss(self) -> float:
        """The mean validation loss of the best epochs, infinite where it is not known."""
        mean = spread([float(job.run.summary.get("best", {}).get("loss", math.inf)) for job in self.jobs]).mean
        return math.inf if math.isnan(mean) else mean

    @property
    def test(self) -> Spread:
        """The test metric over the jobs."""
        return spread([job.test for job in self.jobs])

    @property
    def seconds(self) -> float:
        """Mean seconds per job."""
        return spread([job.seconds for job in self.jobs]).mean

    @property
    def pruned_after(self) -> int | None:
        """The epochs after which these jobs were pruned, if they were."""
        return self.jobs[0].pruned_after


class Group(NamedTuple):
    """Comparable rows, best first: they have the same metric and data."""

    metric: str
    data: str
    rows: list[Row]
    baseline: Spread | None  # over the seeds or folds, which draw the splits

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values of the metric are better."""
        return self.rows[0].jobs[0].higher_is_better

    @property
    def best(self) -> Job | None:
        """The best job of the first row, if one has finished with a finite objective."""
        row, sign = self.rows[0], 1 if self.higher_is_better else -1
        finite = [job for job in row.jobs if math.isfinite(job.objective)]
        return max(finite, key=lambda job: sign * job.objective) if finite and row.pruned_after is None else None


class Leaderboard(NamedTuple):
    """All groups, in the order of their first jobs, and the jobs without a result."""

    folder: Path
    keys: list[str]  # that differ between jobs, except seeds and folds
    groups: list[Group]
    failed: dict[int, Event]
    pending: dict[int, Event]  # started, not ended
    num_jobs: int  # of the whole sweep
    replicates: str  # what the jobs of a row are: seeds, folds, or seeds and folds
    num_repeats: int  # finished jobs with all values of another, which stands for them


def leaderboard(folder: Path) -> Leaderboard:
    """Return the leaderboard of the sweep in `folder`, so far."""
    ledger = Ledger(folder)
    events = ledger.jobs()
    values = {number: key_values(event["overrides"]) for number, event in events.items()}
    every = dict.fromkeys(key for found in values.values() for key in found)
    keys = [
        key
        for key in every
        if key not in REPLICATES and len({_plain(found.get(key, "")) for found in values.values()}) > 1
    ]
    started: dict[tuple[str, ...], set[tuple[str, ...]]] = {}  # values -> replicates
    for found in values.values():
        started.setdefault(_chosen(found, keys), set()).add(_replicate(found))
    comparable: dict[tuple[str, ...], list[Job]] = {}
    for number, event in events.items():
        if event["event"] in ("finished", "pruned"):
            job = _job(folder, event, values[number])
            comparable.setdefault(_scale(job), []).append(job)
    groups = [_group(jobs, keys, started) for jobs in comparable.values()]
    num_ranked = sum(len(row.jobs) for group in groups for row in group.rows)
    return Leaderboard(
        folder,
        keys,
        groups,
        {n: event for n, event in events.items() if event["event"] == "failed"},
        {n: event for n, event in events.items() if event["event"] not in ENDED},
        ledger.num_jobs(),
        _replicates(values.values()),
        sum(map(len, comparable.values())) - num_ranked,
    )


def _replicates(values: Collection[Mapping[str, str]]) -> str:
    found = {key: {of_job.get(key, "") for of_job in values} for key in REPLICATES}
    are_folds = len(found["fold"]) > 1
    are_seeds = not are_folds or len(found["seed"]) > 1 or len(found["split_seed"]) > 1
    return " and ".join(["seeds"] * are_seeds + ["folds"] * are_folds)


def _job(folder: Path, event: Event, values: dict[str, str]) -> Job:
    place = folder / event["folder"]
    run = _run(place, event["time"])
    metric = run.meaning.f1 if event["metric"] == "f1" else event["metric"]
    is_pruned = event["event"] == "pruned"
    return Job(
        event["job"],
        place,
        values,
        metric,
        float(event["objective"]),
        math.nan if is_pruned else float(run.summary.get("test", {}).get(metric, math.nan)),
        float(event.get("seconds", math.nan)),
        event["epoch"] if is_pruned else None,
        str(run.names.get("data", "")),
        float(run.summary.get("baseline", {}).get(metric, math.nan)),
        run,
    )


@lru_cache(maxsize=10_000)
def _run(folder: Path, ended: str) -> Run:
    """Return the run of a job, whose files are read once until it ends again."""
    return Run(folder)


def _scale(job: Job) -> tuple[str, ...]:
    """Return what comparable objectives share: metric, data and, if the metric is the loss, which loss."""
    loss = job.values.get("loss", "") if job.metric == "loss" else ""
    return job.metric, job.data, job.values.get("data.path", ""), loss


def _chosen(values: Mapping[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(_plain(values.get(key, "")) for key in keys)


def _plain(value: str) -> str:
    """Return one spelling of a value: 0.001 of 1e-3, and no spaces."""
    try:
        return f"{float(value):.15g}"
    except ValueError:
        return value.replace(" ", "")


def _replicate(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_plain(values.get(key, "0" if key == "seed" else "")) for key in REPLICATES)


def _group(jobs: Sequence[Job], keys: Sequence[str], started: Mapping[tuple[str, ...], set[tuple[str, ...]]]) -> Group:
    metric, data = jobs[0].metric, jobs[0].data
    same: dict[tuple[Any, ...], dict[tuple[str, ...], Job]] = {}  # values and pruned after -> one job a replicate
    for job in jobs:
        same.setdefault((_chosen(job.values, keys), job.pruned_after), {}).setdefault(_replicate(job.values), job)
    rows = []
    for (chosen, _), found in same.items():
        first = next(iter(found.values()))
        shown = {key: first.values.get(key, "") for key in keys}
        rows.append(Row(shown, [*found.values()], len(started[chosen]) - len(found)))
    sign = -1 if jobs[0].higher_is_better else 1

    has_one_loss = not any(key.split(".")[0] == "loss" for key in keys)

    def order(row: Row) -> tuple[bool, bool, int, float, float]:
        """Rank finished rows before pruned ones, later pruned ones before earlier ones, and non-finite means last.

        Of equal means the one with the lower loss is first.
        """
        mean, is_number = row.objective.mean, math.isfinite(row.objective.mean)
        value, loss = (sign * mean if is_number else 0.0), (row.loss if has_one_loss else 0.0)
        return not is_number, row.pruned_after is not None, -(row.pruned_after or 0), value, loss

    baselines = {_replicate(job.values): job.baseline for job in jobs if math.isfinite(job.baseline)}
    return Group(metric, data, sorted(rows, key=order), spread([*baselines.values()]) if baselines else None)
