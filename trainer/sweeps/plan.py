"""Which jobs a sweep has, and in which order they run: a whole grid, part of it, or one trial after another."""

from argparse import Namespace
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Protocol

from omegaconf import DictConfig

from trainer.config.axes import SEARCH
from trainer.config.compose import launch
from trainer.config.keys import is_of_hydra, quoted, without
from trainer.config.launchers import BASIC
from trainer.errors import ConfigError
from trainer.runs.ledger import Ledger
from trainer.sweeps.job import Plan, job_of_hydra
from trainer.sweeps.launch import Launcher
from trainer.sweeps.pruning import configuration, planned, prune

FOLDER = "hydra.sweep.dir"
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Course(Protocol):
    """The jobs of a sweep."""

    @property
    def num_jobs(self) -> int:
        """Number of jobs."""

    @property
    def share(self) -> float:
        """Fraction of all jobs' epochs that is trained."""

    def run(self, launcher: Launcher, plan: Plan, at_once: int) -> None:
        """Run those that have not ended, `at_once` at a time."""


@dataclass
class Grid:
    """Every combination of values. With rungs, each round continues the jobs that reached its rung."""

    jobs: list[list[str]]  # the overrides of each
    rungs: list[int]  # epochs
    share: float

    @property
    def num_jobs(self) -> int:
        """Number of jobs."""
        return len(self.jobs)

    def run(self, launcher: Launcher, plan: Plan, at_once: int) -> None:
        """See `Course`."""
        ledger = Ledger(plan.folder)
        passed = {event["epoch"] for event in ledger.rungs()}
        for rung in [*(rung for rung in self.rungs if rung not in passed), 0]:
            for number, overrides in self._left(ledger).items():
                launcher.submit(plan._replace(rung=rung), number, overrides)
            launcher.drain()
            plan = plan._replace(retry=False)  # retry once
            if plan.fail_fast and ledger.has_failed():
                return
            if rung:
                prune(plan.folder, rung, plan.factor)

    def _left(self, ledger: Ledger) -> dict[int, list[str]]:
        """Return the jobs left, without configurations pruned at a rung; the median rule stops single jobs."""
        pruned = [number for number, job in ledger.jobs().items() if job["event"] == "pruned"] if self.rungs else []
        out = {configuration(self.jobs[number]) for number in pruned}
        return {number: lines for number, lines in enumerate(self.jobs) if configuration(lines) not in out}


@dataclass
class Search:
    """Values that Optuna proposes, one trial after another."""

    overrides: list[str]
    options: DictConfig
    num_jobs: int
    share: float = 1.0

    def run(self, launcher: Launcher, plan: Plan, at_once: int) -> None:
        """See `Course`."""
        from trainer.sweeps.search import search

        search(self.overrides, self.options, launcher, plan, at_once)


@dataclass
class Plugin:
    """Another of Hydra's sweepers, which launches the jobs itself."""

    flags: Namespace
    overrides: list[str]
    num_jobs: int
    share: float = 1.0

    def run(self, launcher: Launcher, plan: Plan, at_once: int) -> None:
        """See `Course`."""
        overrides = [*self.overrides, f"{FOLDER}={quoted(str(plan.folder))}"]
        launch(Namespace(**vars(self.flags) | {"overrides": overrides}), partial(job_of_hydra, plan))


def course(cfg: DictConfig, flags: Namespace, overrides: list[str], axes: list[list[str]]) -> Course:
    """Return the jobs that these overrides, parsed into `axes`, ask for.

    Raises:
        ConfigError: the settings do not fit together.
    """
    if "n_trials" in cfg.hydra.sweeper:
        _check_search(cfg, axes)
        of_jobs = [line for line in overrides if not is_of_hydra(line)]
        return Search(of_jobs, cfg.hydra.sweeper, cfg.hydra.sweeper.n_trials)
    jobs = [list(job) for job in product(*axes)]  # for a search there may be too many to hold in memory
    if cfg.hydra.sweeper._target_ == GRID:
        return Grid(jobs, *planned(cfg, jobs))
    if cfg.hydra.launcher._target_ != BASIC or cfg.sweep.jobs != 1:
        raise ConfigError(
            f"{cfg.hydra.sweeper._target_} launches jobs itself: it needs hydra/launcher=basic and sweep.jobs=1"
        )
    return Plugin(flags, without(overrides, FOLDER), len(jobs))


def _check_search(cfg: DictConfig, axes: list[list[str]]) -> None:
    try:
        from trainer.sweeps.search import check
    except ModuleNotFoundError as error:
        raise ConfigError(f"{SEARCH}: {error.name} is missing; pip install optuna") from error
    check(cfg, axes)
