"""Jobs are handed to the launcher that Hydra's config names: one after the other, or several beside each other.

Hydra's own way to a launcher is through a sweeper that makes all jobs of a grid and launches them once. Here the jobs
that are launched are those that are left: of a sweep that goes on, at a rung, or the next of a search.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from trainer.arguments import quoted
from trainer.overrides import hydra, is_of_hydra


def launch(
    flags: Namespace, folder: Path, task: Callable[[DictConfig], float], jobs: Mapping[int, Sequence[str]]
) -> dict[int, float]:
    """Have `task` called with the config of each job, given as number -> overrides; number -> what it has returned.

    A job's folder is its number in the sweep's.
    """
    given = [line for line in flags.overrides if is_of_hydra(line) and not line.startswith("hydra.sweep.dir=")]
    given += ["hydra/hydra_logging=disabled", f"hydra.sweep.dir={quoted(str(folder))}"]
    lines = [[*overrides, f"hydra.sweep.subdir={number}"] for number, overrides in jobs.items()]
    with hydra(flags.config_dir):
        shell = GlobalHydra.instance().hydra
        assert shell
        cfg = shell.compose_config(flags.config_name, given, RunMode.MULTIRUN)
        context = HydraContext(config_loader=shell.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=cfg)
        size = cfg.hydra.sweeper.get("max_batch_size") or len(lines) or 1
        returned = [
            job for start in range(0, len(lines), size) for job in launcher.launch(lines[start : start + size], start)
        ]
    return {number: job.return_value for number, job in zip(jobs, returned, strict=True)}
