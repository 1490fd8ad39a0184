"""Cross-validation as a sweep: a job for each fold, and at its end the predictions of all of them."""

from collections.abc import Sequence

from omegaconf import DictConfig

from trainer.errors import CheckpointError, ConfigError
from trainer.files import write_json
from trainer.runs.folds import RECORD
from trainer.runs.leaderboard import Leaderboard
from trainer.view.table import say
from trainer.view.words import shown


def axis_of_folds(configs: Sequence[DictConfig]) -> str:
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
    """Write the predictions for all examples, each by the model that has not seen it, and print their metrics."""
    from trainer.trained.out_of_fold import measured, part_of, repeats, write  # imports torch
    from trainer.view.console import Terminal, results_table

    rows = [row for group in board.groups for row in group.rows if row.pruned_after is None and not row.missing]
    try:
        found = [[part_of(job) for job in row.jobs] for row in rows]
        if not found:
            return
        metrics = [measured(parts) for parts in found]
    except CheckpointError as error:
        say(f"no predictions out of fold: {error}")
        return
    path = write(board.folder, found)
    record = [
        {"values": row.values, "jobs": [job.number for job in row.jobs], "metrics": values}
        for row, values in zip(rows, metrics, strict=True)
    ]
    write_json(board.folder / RECORD, {"configurations": record})
    titles = ["all folds"] if len(rows) == 1 else [f"rank {rank}, all folds" for rank in range(1, len(rows) + 1)]
    Terminal().print(results_table(dict(zip(titles, metrics, strict=True))))
    num_rows = sum(len(part.tested.rows) for part in repeats(found[0])[0])
    say(f"predictions  {shown(path)}: {num_rows:,} rows, each by the fold that was not trained on it")
