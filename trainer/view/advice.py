"""One piece of advice at the end of a run, from its measured times."""

import os
from collections.abc import Mapping

from omegaconf import DictConfig

WORTH_ADVICE = 10.0  # seconds of training; shorter runs need none
SMALL = 500e-6  # seconds: a faster update is mostly calls
WORTH_COMPILING = 60.0  # seconds of training; compiling takes 10 to 30


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
