"""Cross-validation as a sweep: a job for each fold, and at its end the predictions of all of them."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from trainer.config.command_line import checked_sweep
from trainer.errors import CheckpointError, ConfigError
from trainer.files import write_json
from trainer.runs.folds import RECORD
from trainer.runs.leaderboard import Leaderboard, Row
from trainer.view.table import say
from trainer.view.words import shown

FILE = "predictions{}.csv"  # in the folder of the sweep
Jobs = tuple[Namespace, dict[str, DictConfig], list[str]]  # flags, configs by their overrides, the sweep's overrides


def checked_jobs(flags: Namespace) -> Jobs:
    """Return the flags of a sweep, with an axis of folds if there are any, and what `checked_sweep` does."""
    configs, overrides = checked_sweep(flags)
    if axis := _axis_of_folds([*configs.values()]):
        flags = Namespace(**vars(flags) | {"overrides": [*flags.overrides, axis]})
        configs, overrides = checked_sweep(flags)
    return flags, configs, overrides


def _axis_of_folds(configs: Sequence[DictConfig]) -> str:
    """Return the override that makes a job of each fold; empty if there are no folds, or some are chosen.

    Raises:
        ConfigError: jobs differ in the number of folds.
    """
    counts = {(cfg.folds, cfg.repeats) for cfg in configs}
    if len(counts) > 1:
        raise ConfigError("folds and repeats apply to the whole sweep; give each one value")
    [(folds, repeats)] = counts
    if folds > 1 and "n_trials" in configs[0].hydra.sweeper:
        raise ConfigError("hydra/sweeper=optuna compares single runs: leave out folds=, and cross-validate its best")
    return f"fold=range(1,{folds * repeats + 1})" if folds > 1 and not any(cfg.fold for cfg in configs) else ""


def out_of_fold(board: Leaderboard) -> None:
    """Write the predictions for all examples, each by the model that has not seen it, and print their metrics.

    Each group of comparable configurations has a file of its own, since other data has other classes.
    """
    records = []
    for number, group in enumerate(board.groups, 1):
        finished = [row for row in group.rows if row.pruned_after is None]
        if whole := [row for row in finished if not row.missing]:
            records += _of_group(board.folder, FILE.format("" if len(board.groups) == 1 else f"-{number}"), whole)
        if missing := sum(row.missing for row in finished):
            say(f"no predictions of configurations without all folds: {missing} missing")
    if records:
        write_json(board.folder / RECORD, {"configurations": records})


def _of_group(folder: Path, name: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Write and print those of comparable configurations; return their record."""
    from trainer.trained.out_of_fold import bounds, measured, part_of, repeats, write  # imports torch
    from trainer.view.console import Terminal, results_tables, with_bounds

    try:
        found = [[part_of(job) for job in row.jobs] for row in rows]
        metrics, around = [measured(parts) for parts in found], [bounds(parts) for parts in found]
    except CheckpointError as error:
        say(f"no predictions out of fold: {error}")
        return []
    write(folder / name, found)
    titles = ["all folds"] if len(rows) == 1 else [f"rank {rank}, all folds" for rank in range(1, len(rows) + 1)]
    results = [row for each in zip(titles, metrics, around, strict=True) for row in with_bounds(*each)]
    terminal = Terminal()
    terminal.print(*results_tables(results, terminal.width), sep="\n")
    num_rows = sum(len(part.tested.rows) for part in repeats(found[0])[0])
    say(f"predictions  {shown(folder / name)}: {num_rows:,} rows, each by the fold that was not trained on it")
    return [
        {"values": row.values, "jobs": [job.number for job in row.jobs], "metrics": values, "intervals": known}
        for row, values, known in zip(rows, metrics, around, strict=True)
    ]
