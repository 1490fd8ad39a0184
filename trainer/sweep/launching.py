"""Jobs are handed to the launcher that Hydra's config names: one after the other, or several beside each other.

Hydra's own way to a launcher is through a sweeper that makes all jobs of a grid and launches them once. Here the jobs
that are launched are those that are left: of a sweep that goes on, at a rung, or the next of a search.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from trainer.arguments import quoted
from trainer.overrides import hydra, is_of_hydra
from trainer.sweep.jobs import Plan, is_over, job
from trainer.sweep.ledger import Ledger


def launch_left(flags: Namespace, plan: Plan, jobs: Mapping[int, Sequence[str]]) -> None:
    """Have the jobs run, given as number -> overrides, but for those that have ended.

    A job's folder is its number in the sweep's; what becomes of it is in the ledger.
    """
    known = Ledger(plan.folder).jobs()
    left = {number: lines for number, lines in jobs.items() if not is_over(known.get(number, {}), plan)}
    if left:
        _launch(flags, plan.folder, partial(job, plan), left)


def _launch(
    flags: Namespace, folder: Path, task: Callable[[DictConfig], float], jobs: Mapping[int, Sequence[str]]
) -> None:
    given = [line for line in flags.overrides if is_of_hydra(line) and not line.startswith("hydra.sweep.dir=")]
    given += ["hydra/hydra_logging=disabled", f"hydra.sweep.dir={quoted(str(folder))}"]
    lines = [[*overrides, f"hydra.sweep.subdir={number}"] for number, overrides in jobs.items()]
    with hydra(flags.config_dir):
        shell = GlobalHydra.instance().hydra
        assert shell
        cfg = shell.compose_config(flags.config_name, given, RunMode.MULTIRUN)
        context = HydraContext(config_loader=shell.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=cfg)
        size = cfg.hydra.sweeper.get("max_batch_size") or len(lines)
        for start in range(0, len(lines), size):
            for done in launcher.launch(lines[start : start + size], start):
                done.return_value  # noqa: B018 - raises what a worker has raised
