"""Advice at the end of a run: on its measured times, and on its results if a baseline is better."""

import os
from collections.abc import Iterator, Mapping

from omegaconf import DictConfig

from trainer.engine.baselines import Floor, best_of
from trainer.engine.meter import Best
from trainer.view.words import number

WORTH_ADVICE = 10.0  # seconds of training; shorter runs need none
SMALL = 500e-6  # seconds: a faster update is mostly calls
WORTH_COMPILING = 60.0  # seconds of training; compiling takes 10 to 30
EQUAL = 0.999  # of what a baseline gains over a constant: the same model, trained in another way, reaches less than all
STRONGER = {  # kind of data -> models that do without what it offers, and one that does not
    "features": (("linear", "logistic", "scratch"), "mlp"),
    "image": (("linear", "logistic", "scratch", "mlp", "rnn", "gru", "lstm"), "simple_cnn"),
    "tokens": (("rnn",), "gru"),
}
REGULARISED = {
    "features": "optim=adamw optim.weight_decay=0.1",
    "image": "augment.shift=1",
    "tokens": "model.dropout=0.3",
}


def advice(cfg: DictConfig, seconds: Mapping[str, float], num_updates: int, epochs: int) -> str:
    """Return what would speed a run like this up most; empty if nothing stands out, or it was short."""
    total = sum(seconds.values())
    if total < WORTH_ADVICE:
        return ""
    share = {part: spent / total for part, spent in seconds.items()}
    workers = cfg.data.get("workers")
    if share["data"] > 0.25 and workers is not None:
        cores = os.cpu_count() or 1
        more = f"data.workers={cores}" if workers < cores else "a smaller data.size"
        return f"the model waits for images {100 * share['data']:.0f} % of the time: {more} would help"
    if share["checkpoints"] > 0.1:
        return f"checkpoints take {100 * share['checkpoints']:.0f} %: a longer checkpoint.min_seconds would help"
    if share["logging"] > 0.1 and num_updates > cfg.log_every * epochs:  # otherwise the epochs' own lines take the time
        return f"logging takes {100 * share['logging']:.0f} %: log_every={10 * cfg.log_every} would help"
    if share["evaluation"] > 0.4:
        return f"evaluation takes {100 * share['evaluation']:.0f} %: a smaller data.val_fraction would help"
    update = sum(seconds[part] for part in ("data", "forward", "backward", "update")) / max(1, num_updates)
    if update < SMALL and not cfg.compile:
        cures = [f"data.batch_size={8 * cfg.data.batch_size}"] if cfg.data.batch_size != "full" else []
        cures += ["compile=true"] if total > WORTH_COMPILING else []
        if cures:
            return f"an update takes {1e6 * update:.0f} us, most of it overhead: {' or '.join(cures)} would help"
    return ""


def beaten(
    cfg: DictConfig,
    names: Mapping[str, str],
    kind: str,
    best: Best,
    test: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    floor: Floor,
    epochs: int,
) -> list[str]:
    """Return a line if a model that was trained for `epochs` loses to a baseline on the test split, with what to try.

    `intervals` are those of the `test` metrics, and `floor` maps baselines to theirs, the constant prediction first;
    the monitored metric decides.
    """
    strongest = best_of(floor, best)
    if not strongest:
        return []
    metric, constant = best.monitor, floor[next(iter(floor))][best.monitor]
    ours, theirs = test[metric], floor[strongest][metric]
    if not best.sign * ours < best.sign * theirs:  # or one is NaN
        return []
    if theirs != constant and (ours - constant) / (theirs - constant) > EQUAL:
        return []
    low, high = intervals.get(metric, (ours, ours))
    chance = ", within its 95 % interval" if low <= theirs <= high else ""
    cures = " or ".join(_cures(cfg, names.get("model", ""), kind, best.epoch, epochs))
    return [f"{strongest} is better: test {metric} {number(theirs)} against {number(ours)}{chance}; try {cures}"]


def _cures(cfg: DictConfig, model: str, kind: str, best_epoch: int, epochs: int) -> Iterator[str]:
    """Yield one or two settings that may help, by when validation was best, and by what the model can express."""
    weak, stronger = STRONGER[kind]
    if model in weak:
        yield f"model={stronger}"
    if best_epoch > 2 / 3 * epochs:
        yield f"epochs={2 * epochs}"
    elif best_epoch <= epochs / 3 and isinstance(cfg.optim.get("lr"), float):
        yield f"optim.lr={cfg.optim.lr / 3:.1g}"
    elif model not in weak:
        yield REGULARISED[kind]
