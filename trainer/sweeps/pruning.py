"""Stop unpromising jobs early.

With `sweep.prune=halving` the better half of the configurations goes on at each rung, which is an epoch; with `median`
a job stops once it is worse than most were at its age.

Seeds and folds are no configurations: jobs that differ in these alone stay or go together at a rung.

    Successive halving: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization,
    AISTATS 2016. The median stopping rule: Golovin et al., Google Vizier, KDD 2017.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from omegaconf import DictConfig

from trainer.config.keys import REPLICATES, without
from trainer.errors import ConfigError
from trainer.files import read_json, write_json
from trainer.runs.folder import RunFolder
from trainer.runs.index import Run
from trainer.runs.ledger import Event, Ledger

STARTUP = 5  # jobs needed at the same age before their median counts, as in Optuna's MedianPruner


@dataclass(frozen=True)
class AtRung:
    """Returns after each epoch whether the job pauses there for the others."""

    epoch: int

    def __call__(self, epoch: int, best: float) -> bool:
        """Return whether to halt; `best` is the best value of the monitored metric so far."""
        return epoch >= self.epoch


@dataclass(frozen=True)
class BelowMedian:
    """Returns after each epoch whether the job is worse than the median of the others at that epoch."""

    sweep: Path
    folder: str  # of the job, in the sweep's
    metric: str
    higher_is_better: bool

    def __call__(self, epoch: int, best: float) -> bool:
        """Return whether to halt; `best` is the best value so far, and so are the values it is compared with."""
        others = [Run(folder).history for folder in self.sweep.iterdir() if folder.name != self.folder]
        curves = [[row.get(f"val/{self.metric}", math.nan) for row in history] for history in others]
        sign = 1 if self.higher_is_better else -1
        seen = [[sign * v for v in curve[:epoch] if not math.isnan(v)] for curve in curves if len(curve) >= epoch]
        bests = [max(values, default=-math.inf) for values in seen]
        return len(bests) >= STARTUP and not sign * best >= statistics.median(bests)


def planned(cfg: DictConfig, jobs: list[list[str]]) -> tuple[list[int], float]:
    """Return the rungs of a sweep and the fraction of its epochs that is trained; no rungs and 1 without halving.

    Raises:
        ConfigError: there is nothing to halve.
    """
    if cfg.sweep.prune != "halving":
        return [], 1.0
    if len({line for job in jobs for line in job if line.startswith("epochs=")}) > 1:
        raise ConfigError("sweep.prune=halving compares jobs after equally many epochs: give epochs a single value")
    num_configurations = len({configuration(job) for job in jobs})
    found = rungs(cfg.epochs, num_configurations, cfg.sweep.factor)
    if not found:
        what = f"{num_configurations} configurations of epochs={cfg.epochs}"
        raise ConfigError(f"sweep.prune=halving: {what} leave nothing to prune; it takes at least two of each")
    return found, share(cfg.epochs, num_configurations, cfg.sweep.factor)


def rungs(epochs: int, num_configurations: int, factor: int) -> list[int]:
    """Return the epochs after which jobs wait for each other: epochs/factor^k while some can be dropped."""
    most = int(math.log(num_configurations, factor) + 1e-9)
    found = {epochs // factor**k for k in range(1, most + 1)} - {0}
    return sorted(found)


def share(epochs: int, num_configurations: int, factor: int) -> float:
    """Return the fraction of all jobs' epochs that is trained."""
    left, trained = num_configurations, 0
    for before, rung in pairwise([0, *rungs(epochs, num_configurations, factor), epochs]):
        trained += left * (rung - before)
        left = math.ceil(left / factor)
    return trained / (num_configurations * epochs)


def prune(sweep: Path, rung: int, factor: int) -> None:
    """Continue the best one in `factor` of the configurations at a rung; record the others as pruned in the ledger."""
    ledger = Ledger(sweep)
    outlook = ledger.outlook()
    assert outlook
    groups: dict[tuple, dict[int, Event]] = {}
    for number, job in ledger.jobs().items():
        if job["event"] != "pruned" or job["epoch"] == rung:  # those of this rung were recorded before a kill
            groups.setdefault(configuration(job["overrides"]), {})[number] = job

    def score(jobs: dict[int, Event]) -> float:
        reached = [job.get("objective", math.nan) for job in jobs.values() if job["event"] != "failed"]
        values = [*filter(math.isfinite, reached)]
        mean = statistics.fmean(values) if values else math.nan
        return -math.inf if math.isnan(mean) else mean if outlook.higher_is_better else -mean

    passed = ledger.rungs()
    num_left = passed[-1]["kept"] if passed else len(groups)  # failed ones are not counted again
    kept = math.ceil(num_left / factor)
    ranked = sorted(groups.values(), key=score, reverse=True)
    for jobs in ranked[kept:]:
        for number, job in jobs.items():
            if job["event"] == "paused":
                note = RunFolder(sweep / job["folder"]).summary
                write_json(note, read_json(note) | {"status": "pruned"})
                about = {key: job[key] for key in ("objective", "metric", "epoch")}
                ledger.append("pruned", job=number, **about)
    ledger.append("rung", epoch=rung, configurations=num_left, kept=kept)


def configuration(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return a job's overrides without its seeds and its fold, in any order."""
    return tuple(sorted(without(overrides, *REPLICATES)))
