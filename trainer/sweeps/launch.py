"""Run jobs in subprocesses, or through the Hydra launcher that the config names.

A Hydra sweeper launches all jobs of a grid at once. Here jobs are launched when their turn comes: those left of a
resumed sweep, those of a rung, or the next trial of a search.
"""

import secrets
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from trainer.config.check import Checker
from trainer.config.compose import open_hydra
from trainer.config.keys import is_of_hydra, quoted, without
from trainer.config.launchers import BASIC
from trainer.config.schema import names_of
from trainer.runs.ledger import Ledger
from trainer.sweeps.job import Plan, is_over, job, job_of_a_worker
from trainer.sweeps.launcher_process import launcher_process, owner
from trainer.sweeps.pool import Pool, Workers


class Launcher(Protocol):
    """Runs jobs, whose outcome is recorded in the ledger.

    After a signal, every method raises `Stopped` once the jobs have saved.
    """

    def submit(self, plan: Plan, number: int, overrides: Sequence[str]) -> None:
        """Run a job in the folder of that number, unless it has already ended."""

    def wait(self, number: int) -> None:
        """Wait for the end of a job."""

    def drain(self) -> None:
        """Wait for the end of all jobs."""


@contextmanager
def launcher(flags: Namespace, target: str, folder: Path, workers: Workers) -> Iterator[Launcher]:
    """Yield the launcher that the config names; the basic one runs jobs in subprocesses.

    Raises:
        SweepError: the launcher failed.
    """
    given = [line for line in without(flags.overrides, "hydra.sweep.dir") if is_of_hydra(line)]
    given += [f"hydra.sweep.dir={quoted(str(folder))}"]
    if target == BASIC:
        with Pool(workers) as pool:
            yield _Subprocesses(Checker(flags.config_dir, flags.config_name), given, pool)
    else:
        given += ["hydra/hydra_logging=disabled"]
        if ".hydra_submitit_launcher." in target:  # it unpickles results, which must be those of this process
            place = folder / ".submitit" / secrets.token_hex(8)
            place.mkdir(mode=0o700, parents=True)
            given += [f"hydra.launcher.submitit_folder={quoted(str(place / '%j'))}"]
        with launcher_process(folder) as call:
            most = workers.at_once if target.endswith(".LocalLauncher") else None  # submitit would start all of them
            yield _Plugin(flags, given, call, owner(folder), workers.threads, most)


def _is_over(plan: Plan, number: int) -> bool:
    return is_over(Ledger(plan.folder).jobs().get(number, {}), plan)


@dataclass
class _Subprocesses:
    checker: Checker
    given: list[str]
    pool: Pool

    def submit(self, plan: Plan, number: int, overrides: Sequence[str]) -> None:
        if not _is_over(plan, number):
            cfg, _ = self.checker.check([*self.given, f"hydra.sweep.subdir={number}", *overrides])  # while others train
            (plan.folder / str(number)).mkdir(parents=True, exist_ok=True)
            self.pool.submit(number, job(plan, cfg, names_of(cfg.hydra), number, overrides, composed=cfg))

    def wait(self, number: int) -> None:
        self.pool.wait(number)

    def drain(self) -> None:
        self.pool.drain()


@dataclass
class _Plugin:
    flags: Namespace
    given: list[str]
    call: Callable[[Callable[[], None]], None]  # in the launcher's process
    owner: str
    threads: int
    most: int | None  # jobs per batch; None: all
    jobs: dict[int, list[str]] = field(default_factory=dict)  # not launched yet

    def submit(self, plan: Plan, number: int, overrides: Sequence[str]) -> None:
        self.task = partial(job_of_a_worker, plan._replace(owner=self.owner, threads=self.threads))
        if not _is_over(plan, number):
            self.jobs[number] = [*overrides, f"hydra.sweep.subdir={number}"]
        if len(self.jobs) == self.most:
            self.drain()

    def wait(self, number: int) -> None:
        if number in self.jobs:
            self.drain()

    def drain(self) -> None:
        if self.jobs:
            jobs = [*self.jobs.values()]
            self.jobs.clear()
            self.call(partial(_launch, self.flags.config_dir, self.flags.config_name, self.given, self.task, jobs))


def _launch(
    config_dir: str | None,
    config_name: str,
    settings: list[str],
    task: Callable[[DictConfig], float],
    jobs: list[list[str]],
) -> None:
    """Have the launcher call `task` with each job's config. `settings` configure Hydra for all of them."""
    with open_hydra(config_dir):
        shell = GlobalHydra.instance().hydra
        assert shell
        cfg = shell.compose_config(config_name, settings, RunMode.MULTIRUN)
        context = HydraContext(config_loader=shell.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=cfg)
        for done in launcher.launch(jobs, 0):
            done.return_value  # noqa: B018 - raises what a worker raised
