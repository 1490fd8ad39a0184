"""The cells and notes of a leaderboard as text, for the terminal and for files."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from trainer.config.keys import REPLICATES, bare, key_of
from trainer.runs.leaderboard import Group, Leaderboard, Row, Spread
from trainer.runs.paired import compared
from trainer.view.words import bounds, cut, duration, number

WIDEST = 24  # characters of a value

Cells = dict[str, str]  # title of a column -> text


def by_metric(board: Leaderboard) -> list[list[Group]]:
    """Collect the groups of each metric."""
    metrics = dict.fromkeys(group.metric for group in board.groups)
    return [[group for group in board.groups if group.metric == metric] for metric in metrics]


def keys_of(board: Leaderboard, groups: Sequence[Group]) -> list[str]:
    """Return the keys that differ, and `data` if it differs because of another key, such as an experiment."""
    is_hidden = "data" not in board.keys and len({group.data for group in groups}) > 1
    return [*board.keys, *(["data"] if is_hidden else [])]


def cells(board: Leaderboard, groups: Sequence[Group], most: int) -> list[Cells]:
    """Format groups of one metric: at most `most` rows of each, its baseline, and an empty row between groups."""
    found: list[Cells] = []
    keys = keys_of(board, groups)
    rows = [row for group in groups for row in group.rows]
    seeds_differ = any(row.missing for row in rows) or len({len(row.jobs) for row in rows}) > 1
    for group in groups:
        found += [{}] if found else []
        for rank, row in enumerate(group.rows[:most], 1):
            values = {"data": group.data, **row.values}
            first = {"rank": str(rank), **{key: brief(values[key]) for key in keys}}
            found.append(first | _results(group.metric, row, board.replicates if seeds_differ else ""))
        if group.baseline:
            data = {"data": group.data} if "data" in keys else {}
            found.append({"rank": "baseline", **data, f"test/{group.metric}": around(group.baseline)})
    return found


def titles(rows: Sequence[Cells]) -> list[str]:
    """Return the titles of the non-empty columns, in order."""
    every = dict.fromkeys(title for row in rows for title in row)
    return [title for title in every if any(row.get(title) for row in rows)]


def _results(metric: str, row: Row, replicates: str) -> Cells:
    """Return the results of a row; `replicates` names what its jobs are, where their number differs between rows."""
    num_jobs, is_pruned = len(row.jobs), row.pruned_after is not None
    count = f"{num_jobs} of {num_jobs + row.missing}" if row.missing else str(num_jobs)
    return {
        f"val/{metric}": around(row.objective),
        f"test/{metric}": "" if is_pruned else _tested(row),
        replicates: count if replicates else "",
        "pruned after": f"epoch {row.pruned_after}" if is_pruned else "",
        "time": "" if math.isnan(row.seconds) else duration(row.seconds),
        "jobs": ranges(job.number for job in row.jobs),
    }


def _tested(row: Row) -> str:
    """Format the test metric with its standard deviation or, for a single job, its 95 % interval."""
    interval = row.jobs[0].interval if len(row.jobs) == 1 else None
    return around(row.test) + (f" {bounds(*interval)}" if interval else "")


def around(found: Spread) -> str:
    """Format mean and, for several values, standard deviation."""
    mean = number(found.mean)
    if math.isnan(found.std):
        return mean
    decimals = len(mean.partition(".")[2])
    std = f"{found.std:.2g}" if "e" in mean or 0 < found.std < 10**-decimals else f"{found.std:.{decimals}f}"
    return f"{mean} ± {std}"


def brief(value: str) -> str:
    """Shorten a long number, such as a search draws, to four digits, and other long values to their beginning."""
    try:
        is_drawn = len(value) > 8 and not value.lstrip("-").isdigit()
        return f"{float(value):.4g}" if is_drawn else value
    except ValueError:
        return cut(value, WIDEST)


def ranges(numbers: Iterable[int]) -> str:
    """Format 0, 1, 2, 5 as 0-2,5."""
    consecutive = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in run] for _, run in consecutive]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def reading(board: Leaderboard, groups: Sequence[Group]) -> str:
    """Return a line on how to read the numbers of groups of one metric."""
    metric, seeds = groups[0].metric, {len(row.jobs) for group in groups for row in group.rows}
    over = f", mean ± standard deviation over {'up to ' * (len(seeds) > 1)}{max(seeds)} {board.replicates}"
    better = "higher" if groups[0].higher_is_better else "lower"
    floor = "; the baseline is measured on the test split" if any(group.baseline for group in groups) else ""
    return f"{metric} of the best epoch{over * (max(seeds) > 1)}; {better} is better{floor}"


def lead(board: Leaderboard, group: Group) -> str:
    """Return a warning if the first two rows differ by no more than the jobs of one do, else an empty string."""
    if len(group.rows) < 2 or group.rows[1].pruned_after is not None:
        return ""
    first, second = (row.objective for row in group.rows[:2])
    gap, std = abs(first.mean - second.mean), max(first.std, second.std)
    if not gap <= std:  # either may be NaN
        return ""
    by = f"{gap:.3g}, less than the standard deviation over {board.replicates} ({std:.3g})"
    return f"the means of ranks 1 and 2 differ by {by}; this may be chance"


def on_test(group: Group, most: int) -> str:
    """Return a line on the ranks that are as good as rank 1 on the test split, or better; empty if there are none."""
    alike, better = compared(group, most)
    found = [f"{_ranks(alike)} not distinguishable from rank 1"] if alike else []
    found += [f"{_ranks(better)} better than rank 1"] if better else []
    return f"on the test split, {' and '.join(found)} (95 % interval of the paired difference)" if found else ""


def _ranks(found: Sequence[int]) -> str:
    return f"ranks {ranges(found)} are" if len(found) > 1 else f"rank {found[0]} is"


def differing(overrides: Sequence[str], board: Leaderboard) -> list[str]:
    """Return the overrides by which a job differs from others, or all if none differs."""
    lines = [bare(line) for line in overrides]
    return [line for line in lines if key_of(line) in (*board.keys, *REPLICATES)] if board.keys else lines


def one_line(text: str) -> str:
    """Remove line breaks, and escape control characters that a terminal would follow."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def progress(board: Leaderboard) -> str:
    """Summarise how many jobs finished, failed, were pruned, and are left to do."""
    ranked = [row for group in board.groups for row in group.rows]
    counts = {
        "finished": sum(len(row.jobs) for row in ranked if row.pruned_after is None) + board.num_repeats,
        "pruned": sum(len(row.jobs) for row in ranked if row.pruned_after is not None),
        "failed": len(board.failed),
    }
    counts["to do"] = max(0, board.num_jobs - sum(counts.values()))
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{board.num_jobs} jobs" + (f": {', '.join(parts)}" if len(parts) > 1 or board.failed else "")
