"""The command line. Nothing here imports torch: help, completion and a look at a config come at once."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import shutil
import signal
import sys
import threading
import traceback
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trainer import resume, run, runs
from trainer.arguments import again, checked_flags, parse, quoted, without
from trainer.commands import COMMANDS
from trainer.config import CONF, SLOTS
from trainer.errors import CheckpointError, ConfigError, DltrainError, Stopped
from trainer.job import run_job
from trainer.usage import usage

log = logging.getLogger("dltrain")
FOLDER = "hydra.run.dir"


class Terminated(BaseException):
    """SIGTERM has come."""


def main() -> None:
    """The `dltrain` command; exits with the codes of trainer/errors.py."""
    signal.signal(signal.SIGTERM, _terminate)
    logging.raiseExceptions = False  # a log that cannot be written is said by the console, once
    threading.excepthook = _log_thread
    sys.exit(_exit_code(sys.argv[1:]))


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    """What ended a thread, such as TensorBoard's writer, reaches the run when it writes next."""
    log.error("a thread has ended: %s: %s", ended.exc_type.__name__, ended.exc_value)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def _exit_code(arguments: list[str]) -> int:
    sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes exceptions on, instead of printing them and exiting with 1
    try:
        _dispatch(arguments)
    except DltrainError as error:
        return _fail(error.code, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except Terminated:
        return _fail(143, "terminated")
    except Stopped as stopped:
        return _fail(stopped.code, str(stopped))
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        traceback.print_exc()
        return _fail(1, f"unexpected {type(error).__name__}: {error}")
    return 0


def _fail(code: int, message: str) -> int:
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    with contextlib.suppress(BrokenPipeError):
        print(f"dltrain: error[{code}]: {line}", file=sys.stderr, flush=True)
    return code


def _dispatch(arguments: list[str]) -> None:
    if arguments and arguments[0] in COMMANDS:
        importlib.import_module(f"trainer.commands.{COMMANDS[arguments[0]][0]}").main(arguments[1:])
        return
    flags = parse(arguments)
    if flags.help:
        print(usage(flags.config_dir))
    elif flags.hydra_help or flags.info or flags.shell_completion:
        _hydra(arguments, lambda cfg: None)
    elif flags.cfg:
        _, overrides = checked_flags(flags)
        _hydra([*again(flags, "config_dir", "config_name", "cfg", "package", "resolve"), *overrides], lambda cfg: None)
    elif flags.multirun:
        from trainer.sweep.sweeping import sweep

        sweep(flags, arguments, _hydra)
    else:
        _run(flags, arguments)


def _run(flags: Namespace, command: list[str]) -> None:
    """One run in a folder of its own; a dry run's does not outlive it."""
    cfg, overrides = checked_flags(flags)
    if cfg.resume is not None:
        if cfg.dry_run:
            raise ConfigError("resume goes on with one run; leave out dry_run")
        if began := resume.unfinished(cfg) if cfg.resume == "auto" else runs.find(str(cfg.resume), key="resume"):
            _go_on(flags, began)
            return
    arguments, is_named = without(flags, overrides, FOLDER)
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            _train([*arguments, "epochs=1", "limit_batches=1", f"{FOLDER}={quoted(temporary)}"], command)
        print("dry run: one batch went through everything; no file was left")
        return
    folder = (run.claim if is_named else run.create)(Path(OmegaConf.select(cfg, FOLDER)))
    try:
        _train([*arguments, f"{FOLDER}={quoted(str(folder))}"], command)
    except ConfigError:
        shutil.rmtree(folder)  # nothing was run: there is nothing to find in it, and the name is free again
        raise


def _go_on(flags: Namespace, folder: Path) -> None:
    """Go on with a run: its own command line, and behind it what is given now, as far as that may change."""
    command = resume.command_of(folder)
    began = parse(command)
    began.config_dir = flags.config_dir or began.config_dir
    began.overrides = resume.merged(began.overrides, flags.overrides)
    cfg, overrides = checked_flags(began)
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(f"{folder} cannot go on as another run: {'; '.join(fixed)}; only {free} may change")
    summary = run.read_json(folder / "summary.json")
    if summary.get("status") == "finished" and not changed:
        print(f"{folder} has finished: nothing is left to do; epochs={summary.get('epochs', 0) * 2} would go on")
        return
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    arguments = [*again(began, "config_dir", "config_name"), *overrides, f"{FOLDER}={quoted(str(folder))}"]
    _train(arguments, [*command, *flags.overrides])


def _train(arguments: list[str], command: list[str]) -> None:
    """Have Hydra make the config, and train. A failure is kept meanwhile: Hydra would print its own lines about it."""
    failures: list[DltrainError] = []

    def job(cfg: DictConfig) -> float:
        settings = HydraConfig.get()
        names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
        try:
            return run_job(cfg, Path(settings.runtime.output_dir), names, ["dltrain", *command])
        except DltrainError as error:
            failures.append(error)
            return math.nan

    _hydra(arguments, job)
    if failures:
        raise failures[0]


def _hydra(arguments: list[str], job: Callable[[DictConfig], Any]) -> None:
    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()


if __name__ == "__main__":
    main()
