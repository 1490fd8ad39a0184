"""Jobs are handed to the launcher that Hydra's config names: one after the other, or several beside each other.

Hydra's own way to a launcher is through a sweeper that makes all jobs of a grid and launches them once. Here the jobs
that are launched are those that are left: of a sweep that goes on, at a rung, or the next of a search.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from trainer.config.compose import open_hydra
from trainer.config.keys import is_of_hydra, quoted, without
from trainer.runs.ledger import Ledger
from trainer.sweep.job import Plan, is_over, job, job_of_a_worker
from trainer.sweep.launcher_process import launcher_process
from trainer.sweep.workers import Workers, owner

Jobs = Mapping[int, Sequence[str]]  # number, which is the name of its folder -> overrides
Launch = Callable[[Plan, Jobs], None]


@contextmanager
def launcher(flags: Namespace, plan: Plan, several: Workers) -> Iterator[Launch]:
    """Has jobs run, but for those that have ended; what becomes of them is in the ledger.

    Raises:
        Stopped: a signal has come, and the jobs have saved what they have.
        SweepError: the launcher has failed.
    """
    given = [line for line in without(flags.overrides, "hydra.sweep.dir") if is_of_hydra(line)]
    given += [*several.overrides, "hydra/hydra_logging=disabled", f"hydra.sweep.dir={quoted(str(plan.folder))}"]
    start = partial(launch, flags.config_dir, flags.config_name, given)

    def left(plan: Plan, jobs: Jobs) -> list[list[str]]:
        known = Ledger(plan.folder).jobs()
        return [
            [*overrides, f"hydra.sweep.subdir={number}"]
            for number, overrides in jobs.items()
            if not is_over(known.get(number, {}), plan)
        ]

    if not several.are_processes:
        yield lambda plan, jobs: start(partial(job, plan), left(plan, jobs))
        return
    with launcher_process(plan.folder) as apart:
        began = owner(plan.folder)

        def hand_on(plan: Plan, jobs: Jobs) -> None:
            if wanted := left(plan, jobs):
                apart(partial(start, partial(job_of_a_worker, plan._replace(owner=began)), wanted))

        yield hand_on


def launch(
    config_dir: str | None,
    config_name: str,
    settings: list[str],
    task: Callable[[DictConfig], float],
    jobs: list[list[str]],
) -> None:
    """Have `task` called with the config of each job. `settings` are of Hydra, and hold for all of them."""
    if not jobs:
        return
    with open_hydra(config_dir):
        shell = GlobalHydra.instance().hydra
        assert shell
        cfg = shell.compose_config(config_name, settings, RunMode.MULTIRUN)
        context = HydraContext(config_loader=shell.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=cfg)
        size = cfg.hydra.sweeper.get("max_batch_size") or len(jobs)
        for begin in range(0, len(jobs), size):
            for done in launcher.launch(jobs[begin : begin + size], begin):
                done.return_value  # noqa: B018 - raises what a worker has raised
