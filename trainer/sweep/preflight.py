"""Before the first job of a sweep: a few batches through every combination of data, model and loss."""

from __future__ import annotations

import math
import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from trainer import run
from trainer.config import SLOTS
from trainer.errors import ConfigError
from trainer.overrides import checked, sweep_axes
from trainer.sweep.apart import run_apart
from trainer.sweep.ledger import Outlook

COMBINED = ("data", "model", "loss", "experiment")  # whose combinations decide whether a job can run at all
QUICK = ["epochs=1", "limit_batches=3", "plots=off", "tensorboard=off", "checkpoint.min_seconds=1e9"]


def preflight(flags: Namespace, folder: Path) -> Outlook:
    """Run a few batches of every combination of data, model and loss, and of every other part that is chosen by name.

    Raises:
        ConfigError: what is wrong with one, and its overrides.
    """
    axes = sweep_axes(flags.overrides, flags.config_dir)
    seconds, summary = [], {}
    for number, sample in enumerate(samples(axes)):
        cfg, _ = checked([*sample, *QUICK], flags.config_dir, flags.config_name)
        whole, _ = checked(sample, flags.config_dir, flags.config_name)
        place = folder / f".preflight-{number}"
        place.mkdir()
        code = run_apart(cfg, place, dict.fromkeys(SLOTS, ""), ["dltrain", *sample])
        summary = run.read_json(place / "summary.json")
        shutil.rmtree(place)
        if code or summary.get("status") != "finished":
            raise ConfigError(f"{' '.join(sample)}: {summary.get('error') or f'ended with {code}'}")
        seconds.append(_seconds(whole, summary))
    total = sum(seconds) / len(seconds) * count_jobs(whole, axes)
    return Outlook(total, summary["monitor"], summary["higher_is_better"])


def count_jobs(cfg: DictConfig, axes: list[list[str]]) -> int:
    """Of a grid every combination, of a search what it is given."""
    return cfg.hydra.sweeper.n_trials if is_search(cfg) else math.prod(map(len, axes))


def is_search(cfg: DictConfig) -> bool:
    """Whether jobs follow from what others have come to."""
    return "n_trials" in cfg.hydra.sweeper


def samples(axes: list[list[str]]) -> list[list[str]]:
    """The jobs to try: all combinations of `COMBINED`, and every other value that is no number, once."""
    first = [axis[0] for axis in axes]
    found: list[list[str]] = [[]]
    for axis in axes:
        values = axis if _key(axis[0]) in COMBINED else axis[:1]
        found = [[*sample, value] for sample in found for value in values]
    for place, axis in enumerate(axes):
        if _key(axis[0]) not in COMBINED:
            words = [value for value in axis[1:] if not _is_number(value.split("=", 1)[-1])]
            found += [[*first[:place], value, *first[place + 1 :]] for value in words]
    return found


def _key(line: str) -> str:
    return line.split("=")[0].lstrip("+")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _seconds(cfg: DictConfig, summary: Mapping) -> float:
    """Of a run, from those of a few updates; the first of them is slow, so it is rather too much."""
    size = cfg.data.batch_size
    batches = 1 if size == "full" else math.ceil(summary["num_train"] / size)
    steps = min(cfg.max_steps, cfg.epochs * min(batches, cfg.limit_batches) / cfg.accumulate)
    learning = sum(summary["seconds"][part] for part in ("data", "forward", "backward", "update"))
    return steps * learning / max(1, summary["steps"])
