"""One run in its folder, and a note there of how it ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from trainer.errors import DltrainError, Halt, Halted, Stopped, for_the_user, never
from trainer.runs import folder as run_folder
from trainer.runs.folder import RunFolder

log = logging.getLogger("dltrain")


def run_job(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    command: Sequence[str],
    halt: Halt = never,
) -> float:
    """Train as `cfg` says; the best value of the monitored metric. `halt` is as `train` says.

    Raises:
        DltrainError: what ended it, for the user; the traceback is in the folder's log.
        Halted: as `halt` has said.
    """
    from trainer.train import train

    try:
        with run_folder.lock(folder):
            return train(cfg, RunFolder(folder, names, command), halt)
    except Halted as halted:
        log.info("%s", halted)
        run_folder.write_json(folder / "summary.json", {"status": "interrupted", **halted.about})
        raise
    except BaseException as error:
        log.exception("the run ended early")
        told = error
        if isinstance(error, Exception):
            told = for_the_user(error, folder, cfg.data.batch_size, cfg.accumulate)
        with contextlib.suppress(OSError):
            end = {
                "status": "failed" if isinstance(error, Exception) else "interrupted",
                "error": str(told) if isinstance(told, (DltrainError, Stopped)) else repr(told),
                "run_dir": str(folder.absolute()),
            }
            # It was finished, and then something failed.
            if run_folder.read_json(folder / "summary.json").get("status") != "finished":
                run_folder.write_json(folder / "summary.json", end)
        if not isinstance(told, DltrainError):
            raise
        cause: BaseException | None = told
        while cause:  # the frames of a job that failed would keep its data, and the processes that read it
            cause.__traceback__, cause = None, cause.__cause__ or cause.__context__
        failure = told
    raise failure
