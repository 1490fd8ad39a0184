"""Going on with a run: which, the command line that began it, and what may change. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainer.config.keys import flat
from trainer.errors import CheckpointError
from trainer.runs.index import ROOT, Run, every, started

FREE = {  # these change how long and how closely a run is followed, not what it is
    "epochs",
    "max_steps",
    "max_minutes",
    "patience",
    "log_every",
    "device",
    "compile",
    "data.root",
    "data.workers",
    "checkpoint.every_minutes",
    "checkpoint.every_steps",
    "checkpoint.min_seconds",
    "checkpoint.keep",
    "plots",
    "tensorboard",
    "sweep.fail_fast",
    "sweep.jobs",
    "sweep.retry",
}
# In a sweep the jobs are compared with each other: what they come to may not change with some of them done.
# A search may have more of them.
FREE_IN_SWEEP = FREE - {"epochs", "max_steps", "max_minutes", "patience"} | {"hydra.sweeper.n_trials"}


def unfinished(cfg: DictConfig, root: Path = ROOT) -> Path | None:
    """The last run of this config that has not finished, if there is one."""
    for run in reversed(started(every(root))):
        with suppress(CheckpointError):  # what cannot be read is none of ours
            if run.summary.get("status") != "finished" and not differences(run.folder, cfg, FREE):
                return run.folder
    return None


def command_of(folder: Path) -> list[str]:
    """The arguments that a run was begun with or, if it was, gone on with.

    Raises:
        CheckpointError: the folder does not say.
    """
    run = Run(folder)
    command = run.latest.get("command")
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise CheckpointError(f"{run.files.environment}: does not say how the run was begun; start a new one")
    return command[1:]


def differences(folder: Path, cfg: DictConfig, but: Collection[str] = ()) -> dict[str, str]:
    """Key -> `key: saved -> now` of all in which the config differs from the one of a run. It is read as data alone.

    Raises:
        CheckpointError: the config of the run cannot be read.
    """
    saved = flat(Run(folder).config)
    now = values_of(cfg)
    keys = [key for key in {**saved, **now} if key != "resume" and key not in but]
    return {key: f"{key}: {saved.get(key)} -> {now.get(key)}" for key in keys if saved.get(key) != now.get(key)}


def values_of(cfg: DictConfig) -> dict[str, Any]:
    """Map each dotted key of a config, less Hydra's, to its value."""
    return flat(OmegaConf.to_container(OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"]), resolve=True))
