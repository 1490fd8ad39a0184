"""The command line. Nothing here imports torch: help, completion and a look at a config come at once.

Hydra is imported where it composes: it takes longer than a table of a thousand runs.
"""

from __future__ import annotations

import contextlib
import functools
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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from trainer import __version__, run, runs
from trainer.commands import COMMANDS
from trainer.errors import CheckpointError, ConfigError, DltrainError, Stopped, SweepError, for_the_user

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("dltrain")
failures: list[DltrainError] = []  # what ended each job that failed


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
    from trainer.usage import usage

    flags = _parse(arguments)
    if flags.help:
        print(usage(flags.config_dir))
    elif flags.hydra_help or flags.info or flags.shell_completion:
        _hydra(arguments, [])
    elif flags.cfg:
        _, overrides = _checked(flags)
        _hydra([*_flags(flags, "config_dir", "config_name", "cfg", "package", "resolve"), *overrides], [])
    else:
        _run(flags, arguments)


def _run(flags: Namespace, command: list[str]) -> None:
    """One run, or with --multirun a sweep, in a folder of its own; a dry run's folder does not outlive it."""
    from omegaconf import OmegaConf

    from trainer import resume

    cfg, overrides = _checked(flags)
    if cfg.resume is not None:
        if flags.multirun or cfg.dry_run:
            raise ConfigError("resume goes on with one run; leave out -m and dry_run")
        if began := resume.unfinished(cfg) if cfg.resume == "auto" else runs.find(str(cfg.resume), key="resume"):
            _go_on(flags, began)
            return
    key = "hydra.sweep.dir" if flags.multirun else "hydra.run.dir"
    others = [o for o in overrides if not o.lstrip("+").startswith(f"{key}=")]
    named = len(others) < len(overrides)
    arguments = [*_flags(flags, "config_dir", "config_name", "multirun"), *others]
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            _hydra([*arguments, "epochs=1", "limit_batches=1", f"{key}={_quoted(temporary)}"], command)
        _raise_failures("a dry sweep" if flags.multirun else "")
        print("dry run: one batch went through everything; no file was left")
        return
    folder = (run.claim if named else run.create)(Path(OmegaConf.select(cfg, key)))
    _hydra([*arguments, f"{key}={_quoted(str(folder))}"], command)
    if flags.multirun and cfg.plots not in ("off", False):
        _draw_sweep(folder)
    if not flags.multirun and failures and isinstance(failures[0], ConfigError):
        shutil.rmtree(folder)  # nothing was run: there is nothing to find in it, and the name is free again
    _raise_failures(str(folder) if flags.multirun else "")


def _go_on(flags: Namespace, folder: Path) -> None:
    """Go on with a run: its own command line, and behind it what is given now, as far as that may change."""
    from trainer import resume

    command = resume.command_of(folder)
    began = _parse(command)
    began.config_dir = flags.config_dir or began.config_dir
    if began.multirun:
        raise ConfigError(f"{folder} is a job of a sweep, and only single runs can be gone on with")
    began.overrides = resume.merged(began.overrides, flags.overrides)
    cfg, overrides = _checked(began)
    changed = resume.differences(folder, cfg)
    if fixed := [line for key, line in changed.items() if key not in resume.FREE]:
        free = ", ".join(sorted(resume.FREE))
        raise CheckpointError(f"{folder} cannot go on as another run: {'; '.join(fixed)}; only {free} may change")
    summary = run.read_json(folder / "summary.json")
    if summary.get("status") == "finished" and not changed:
        print(f"{folder} has finished: nothing is left to do; epochs={summary.get('epochs', 0) * 2} would go on")
        return
    print(*(f"changed  {line}" for line in changed.values()), sep="\n", end="\n" if changed else "")
    arguments = [*_flags(began, "config_dir", "config_name"), *overrides, f"hydra.run.dir={_quoted(str(folder))}"]
    _hydra(arguments, [*command, *flags.overrides])
    _raise_failures("")


def _draw_sweep(folder: Path) -> None:
    """The curves of all jobs in one picture; a sweep has not failed because that does."""
    from trainer.commands.compare import draw_sweep

    try:
        draw_sweep(folder)
    except Exception as error:
        print(f"warning: no picture of the sweep: {error}", file=sys.stderr)


def _raise_failures(sweep: str) -> None:
    """The error of the run or, of a sweep, how many jobs had one."""
    if failures and sweep:
        raise SweepError(f"{len(failures)} jobs of {sweep} failed: {'; '.join(str(error) for error in failures)}")
    if failures:
        raise failures[0]


def _checked(flags: Namespace) -> tuple[DictConfig, list[str]]:
    """The config of the run, or of a sweep's first job, and the overrides for Hydra; every job's values are checked."""
    from trainer.overrides import checked, sweep_samples

    if not flags.multirun:
        return checked(flags.overrides, flags.config_dir, flags.config_name)
    samples = sweep_samples(flags.overrides, flags.config_dir)
    jobs = [checked(sample, flags.config_dir, flags.config_name) for sample in samples]
    if len({cfg.dry_run for cfg, _ in jobs}) > 1:
        raise ConfigError("dry_run holds for a whole sweep: give it one value")
    # A job's lines say what stands before each key; the values are the sweep's.
    keys = (line.split("=")[0] for line in jobs[0][1])
    before = {key.lstrip("+"): key[: len(key) - len(key.lstrip("+"))] for key in keys}
    given = [line.lstrip("+") for line in flags.overrides]
    return jobs[0][0], [f"{before.get(line.split('=')[0], '')}{line}" for line in given]


def _job(command: list[str], cfg: DictConfig) -> float:
    """What Hydra calls for each job, in its folder. Failures are kept: Hydra would print its own lines about them."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from trainer.config import SLOTS
    from trainer.train import train

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    names = {slot: str(settings.runtime.choices[slot]) for slot in SLOTS}
    try:
        with run.lock(folder):
            return train(cfg, folder, names, command)
    except BaseException as error:
        log.exception("the run ended early")
        status = "failed" if isinstance(error, Exception) else "interrupted"
        end = {"status": status, "error": str(error), "run_dir": str(folder.absolute())}
        with contextlib.suppress(OSError):
            if run.read_json(folder / "summary.json").get("status") != "finished":  # it was, and then something failed
                run.write_json(folder / "summary.json", end)
        if not isinstance(error, Exception):
            raise
        failures.append(for_the_user(error, folder, cfg.data.batch_size, cfg.accumulate))
        told: BaseException | None = failures[-1]
        while told:  # the frames of a job that failed would keep its data, and the processes that read it
            told.__traceback__, told = None, told.__cause__ or told.__context__
    if settings.mode == RunMode.MULTIRUN:
        _fail(failures[-1].code, f"job {settings.job.num} ({' '.join(settings.overrides.task)}): {failures[-1]}")
    return math.nan


def _hydra(arguments: list[str], command: list[str]) -> None:
    import hydra

    from trainer.config import CONF

    sys.argv[1:] = arguments
    job = functools.partial(_job, ["dltrain", *command])
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()


def _flags(flags: Namespace, *names: str) -> list[str]:
    """The given flags as arguments again, those that were set."""
    given = {f"--{name.replace('_', '-')}": getattr(flags, name) for name in names}
    return [flag if value is True else f"{flag}={value}" for flag, value in given.items() if value]


def _quoted(text: str) -> str:
    """As Hydra's grammar wants a value that may contain anything."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _parse(arguments: list[str]) -> Namespace:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for action in parser._actions:
        if action.dest == "version":
            action.version = f"dltrain {__version__}"  # type: ignore[attr-defined]
    flags = parser.parse_intermixed_args(arguments)
    if flags.config_path or flags.experimental_rerun:
        raise ConfigError(
            "--config-path and --experimental-rerun are not taken; --config-dir adds a folder of your own"
        )
    flags.config_name = flags.config_name or "config"
    return flags


def _refuse(message: str) -> NoReturn:
    """In place of argparse's usage: one line, and for `--epochs 3` the form that works."""
    from trainer.config import KNOBS, SLOTS

    words = [word.lstrip("-").split("=")[0] for word in message.split() if word.startswith("--")]
    hint = next((f"; did you mean {word}=...?" for word in words if word.split(".")[0] in {*KNOBS, *SLOTS}), "")
    raise ConfigError(f"{message}{hint}; settings are key=value, dltrain --help lists them")


if __name__ == "__main__":
    main()
