"""Try a few batches of every combination of data, model and loss before a sweep's first job."""

import copy
import math
import shutil
import statistics
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from trainer.config.axes import number, sweep_axes
from trainer.config.check import checked_all
from trainer.config.keys import SLOTS, key_of, value_of
from trainer.errors import ConfigError, DltrainError
from trainer.files import read_json
from trainer.runs.folder import RunFolder
from trainer.runs.ledger import Outlook
from trainer.sweeps.job import why, without_pictures
from trainer.sweeps.pool import Job, Pool, Workers
from trainer.sweeps.process import Task, warm_up

COMBINED = ("data", "model", "loss", "experiment", "data.batch_size")  # these decide whether and how fast a job runs
NUM_BATCHES, MINUTES = 30, 0.02  # at most
LEARNING = ("data", "forward", "backward", "update")
PATIENCE_S = 20
KINDS = {kind.code: kind for kind in DltrainError.__subclasses__()}


def preflight(flags: Namespace, known: Mapping[str, DictConfig], workers: Workers, folder: Path) -> Outlook:
    """Run a few batches of every combination of data, model and loss, and of every other part that is chosen by name.

    The first is drawn too, as its job will be. `known` are configs by their overrides; the others are composed here.

    Raises:
        DltrainError: what is wrong with one, and its overrides; of the kind that the job would have ended with.
    """
    axes = sweep_axes(flags.overrides, flags.config_dir)
    tried = samples(axes)
    print(f"trying a few batches of {len(tried)} {'job' if len(tried) == 1 else 'jobs'} first", flush=True)
    new = [sample for sample in tried if " ".join(sample) not in known]
    composed = zip(map(" ".join, new), checked_all(new, flags.config_dir, flags.config_name), strict=True)
    every = {**known, **{line: cfg for line, (cfg, _) in composed}}
    configs = [every[" ".join(sample)] for sample in tried]
    warm_up()
    found: dict[int, tuple[dict[str, Any], float]] = {}

    def trial(count: int) -> Job:
        start = time.monotonic()
        short = _shortened(configs[count], drawn=not count)
        summary = yield from _tried(short, tried[count], folder / f".preflight-{count}")
        found[count] = summary, time.monotonic() - start

    with Pool(workers) as pool:
        for count in range(len(tried)):
            pool.submit(count, trial(count))
        pool.drain()
    jobs, fixed, compared = [], 0.0, set()
    for count, cfg in enumerate(configs):
        summary, whole = found[count]
        fixed = max(fixed, whole - sum(summary["seconds"].values()))
        jobs.append(_seconds(cfg, summary))
        data = f"{cfg.hydra.runtime.choices['data']} {cfg.data.get('path', '')}".strip()
        compared.add((data, summary["monitor"]))
    _check_comparable(cfg, compared)
    combined = jobs[: math.prod(len(axis) for axis in axes if key_of(axis[0]) in COMBINED)]
    seconds = fixed + sum(combined) / len(combined) * _longer(axes)
    return Outlook(seconds, str(summary["monitor"]), bool(summary["higher_is_better"]))


def _check_comparable(cfg: DictConfig, compared: Collection[tuple[str, str]]) -> None:
    """Raise if jobs that are pruned or chosen by their results cannot be compared."""
    by = "hydra/sweeper=optuna" if "n_trials" in cfg.hydra.sweeper else f"sweep.prune={cfg.sweep.prune}"
    if len(compared) > 1 and not by.endswith(("off", "False")):
        what = ", ".join(f"{metric} of {data}" for data, metric in sorted(compared))
        raise ConfigError(f"{by} compares all jobs, and these cannot be compared: {what}; use a sweep for each")


def _shortened(cfg: DictConfig, drawn: bool) -> DictConfig:
    short = without_pictures(copy.deepcopy(cfg))
    short.epochs, short.limit_batches, short.baselines = 1, min(NUM_BATCHES, cfg.limit_batches), "off"
    short.max_minutes, short.checkpoint.min_seconds = min(MINUTES, cfg.max_minutes), math.inf
    if not drawn:
        short.plots, short.tensorboard = "off", "off"
    return short


def _tried(cfg: DictConfig, sample: list[str], place: Path) -> Generator[Task, int, dict[str, Any]]:
    """Train a few batches of a job, in a folder for them; return the summary."""
    shutil.rmtree(place, ignore_errors=True)  # left by a kill
    place.mkdir()
    what = " ".join(sample)
    slow = threading.Timer(PATIENCE_S, print, [f"{what}: still at its first batches; Ctrl-C ends it"], {"flush": True})
    slow.daemon = True
    slow.start()
    try:
        code = yield Task(cfg, place, dict.fromkeys(SLOTS, ""), ["dltrain", *sample])
        summary = read_json(RunFolder(place).summary)
        error, _, is_unexpected = why(code, summary).partition("; the traceback is in")
        if is_unexpected:  # show the traceback before its folder is deleted
            print(RunFolder(place).log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
    finally:
        slow.cancel()
        shutil.rmtree(place)
    if code == 0 and summary.get("status") == "finished":
        return summary
    raise KINDS.get(code, ConfigError)(f"{what}: {error}")


def samples(axes: list[list[str]]) -> list[list[str]]:
    """Return the jobs to try: all combinations of `COMBINED`, and every other non-numeric value once."""
    first = [axis[0] for axis in axes]
    found: list[list[str]] = [[]]
    for axis in axes:
        values = axis if key_of(axis[0]) in COMBINED else axis[:1]
        found = [[*sample, value] for sample in found for value in values]
    for place, axis in enumerate(axes):
        if key_of(axis[0]) not in COMBINED:
            words = [value for value in axis[1:] if number(value) is None]
            found += [[*first[:place], value, *first[place + 1 :]] for value in words]
    return found


def _seconds(cfg: DictConfig, summary: Mapping) -> float:
    """Of a run's loop, from those of a few updates; the first of them is slow, so it is rather too much."""
    size, seconds = cfg.data.batch_size, summary["seconds"]
    batches = 1 if size == "full" else math.ceil(summary["num_train"] / size)
    steps = min(cfg.max_steps, cfg.epochs * min(batches, cfg.limit_batches) / cfg.accumulate)
    learning = sum(seconds[part] for part in LEARNING)
    rest = sum(seconds.values()) - learning  # of the one epoch that was tried
    return min(60 * cfg.max_minutes, steps * learning / max(1, summary["steps"]) + cfg.epochs * rest)


def _longer(axes: list[list[str]]) -> float:
    """The epochs of all jobs together, over those that they would have with the first of the values alone."""
    epochs = [[float(value_of(line)) for line in axis] for axis in axes if key_of(axis[0]) == "epochs"]
    return statistics.fmean(epochs[-1]) / epochs[-1][0] if epochs else 1
