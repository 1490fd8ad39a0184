"""The test metric of a leaderboard's row, and the rows that it is the same of, by their jobs' bootstrap draws.

Nothing here imports torch.
"""

from collections.abc import Sequence

from trainer.metrics.bounds import Interval, mean_draws, percentiles
from trainer.runs.leaderboard import Group, Job, Row


def interval(row: Row) -> Interval | None:
    """Return the 95 % interval of a row's mean test metric, None if its jobs do not have it."""
    if len(row.jobs) == 1:
        return row.jobs[0].interval
    return _percentiles([job.draws["draws"] for job in row.jobs], row.jobs) if all(map(_examples, row.jobs)) else None


def difference(row: Row, best: Row) -> Interval | None:
    """Return the 95 % interval of a row's mean test metric less that of the best row, None if it is not known.

    Those jobs count that were tested on the same examples as the best row's job with the same seeds and fold. The draws
    of both belong together, so that each has a difference.
    """
    others = {job.replicate: job for job in best.jobs}
    pairs = [(job, others[job.replicate]) for job in row.jobs if job.replicate in others]
    pairs = [(job, other) for job, other in pairs if _examples(job) and _examples(job) == _examples(other)]
    less = [[a - b for a, b in zip(job.draws["draws"], other.draws["draws"], strict=False)] for job, other in pairs]
    return _percentiles(less, [job for job, _ in pairs]) if pairs else None


def compared(group: Group, most: int) -> tuple[list[int], list[int]]:
    """Return the ranks among the first `most` that may be as good as rank 1 on the test split, and the better ones."""
    best, *others = group.rows[:most]
    found = {rank: difference(row, best) for rank, row in enumerate(others, 2) if row.pruned_after is None}
    known = {rank: bounds for rank, bounds in found.items() if bounds}
    alike = [rank for rank, (low, high) in known.items() if low <= 0 <= high]
    better = [rank for rank, (low, high) in known.items() if (low > 0 if group.higher_is_better else high < 0)]
    return alike, better


def _examples(job: Job) -> str:
    """Return the fingerprint of what a job was tested on, empty if it has no draws of the metric."""
    return str(job.draws["examples"]) if job.draws.get("metric") == job.metric else ""


def _percentiles(draws: Sequence[Sequence[float]], jobs: Sequence[Job]) -> Interval | None:
    """Return the interval of the mean over jobs, whose draws `draws` has."""
    means = mean_draws(draws)
    if means and min(means) == max(means):
        return means[0], means[0]  # such as 0, where two models predict the same
    return percentiles(means, min(job.draws["num"] for job in jobs))
