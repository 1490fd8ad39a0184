"""Train one run in its folder, and record there how it ended."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from trainer.errors import DltrainError, Halt, Halted, Stopped, for_the_user, never
from trainer.files import read_json, write_json
from trainer.runs import hydra_files
from trainer.runs.folder import RunFolder
from trainer.runs.lock import lock

log = logging.getLogger("dltrain")


def run_job(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    command: Sequence[str],
    halt: Halt = never,
    composed: DictConfig | None = None,
) -> float:
    """Train in `folder` and return the best value of the monitored metric; see `train`.

    `composed` is the config with Hydra's node, for the files in .hydra/.

    Raises:
        RunFolderError: the folder is in use; nothing was written in it.
        DltrainError: the error that ended the run; the traceback is in the folder's log.
        Halted: `halt` returned true.
    """
    with lock(folder):
        run = RunFolder(folder, names, command, hydra_files.texts(composed) if composed else {})
        run.hold_log()
        if not run.config.exists():
            run.open()  # one that resumes may still be refused, and then nothing has changed
        return _train(cfg, run, halt)


def _train(cfg: DictConfig, run: RunFolder, halt: Halt) -> float:
    from trainer.training import train

    try:
        return train(cfg, run, halt)
    except Halted as halted:
        log.info("%s", halted)
        write_json(run.summary, {"status": "interrupted", **halted.about})
        raise
    except BaseException as error:
        log.exception("the run ended early")
        shown = error
        if isinstance(error, Exception):
            shown = for_the_user(error, run.log, cfg.data.batch_size, cfg.accumulate)
        was_refused = not run.has_begun and run.config.exists()  # to resume, so that its files stay
        if not was_refused or type(shown) is DltrainError:  # a bug, whose traceback is wanted
            with contextlib.suppress(OSError, DltrainError):
                run.open()
        with contextlib.suppress(OSError):
            # A run that fails while drawing keeps its summary too.
            if not was_refused and read_json(run.summary).get("status") != "finished":
                end = {
                    "status": "failed" if isinstance(error, Exception) else "interrupted",
                    "error": str(shown) if isinstance(shown, (DltrainError, Stopped)) else repr(shown),
                    "run_dir": str(run.path.absolute()),
                    "names": dict(run.names),
                }
                write_json(run.summary, end)
        if not isinstance(shown, DltrainError):
            raise
        cause: BaseException | None = shown
        while cause:  # the traceback's frames would keep a failed job's data, and the processes that read it, alive
            cause.__traceback__, cause = None, cause.__cause__ or cause.__context__
        failure = shown
    raise failure
