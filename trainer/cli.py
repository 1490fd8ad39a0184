"""The command line. Nothing here imports torch: help, completion and a look at a config come at once."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import traceback
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from trainer import __version__, run
from trainer.config import CONF, KNOBS, SLOTS, groups
from trainer.errors import ConfigError, DltrainError, SweepError
from trainer.overrides import checked, sweep_samples

log = logging.getLogger("dltrain")
failures: list[tuple[str, Exception]] = []  # the job's overrides and what ended it


def main() -> None:
    """The `dltrain` command; exits with the codes of trainer/errors.py."""
    sys.exit(_exit_code(sys.argv[1:]))


def _exit_code(arguments: list[str]) -> int:
    sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes exceptions on, instead of printing them and exiting with 1
    try:
        _dispatch(arguments)
    except DltrainError as error:
        return _fail(error.code, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        traceback.print_exc()
        return _fail(1, f"unexpected {type(error).__name__}: {error}; the traceback is above and in the run's log")
    return 0


def _fail(code: int, message: str) -> int:
    print(f"dltrain: error[{code}]: {' '.join(message.split())}", file=sys.stderr)
    return code


def _dispatch(arguments: list[str]) -> None:
    flags = _parse(arguments)
    if flags.help:
        print(_help(flags.config_dir))
    elif flags.hydra_help or flags.info or flags.shell_completion:
        _hydra(arguments)
    elif flags.cfg:
        _, overrides = _checked(flags)
        _hydra([*_flags(flags, "config_dir", "config_name", "cfg", "package", "resolve"), *overrides])
    else:
        _run(flags)


def _run(flags: Namespace) -> None:
    """One run, or with --multirun a sweep, in a folder of its own; a dry run's folder does not outlive it."""
    cfg, overrides = _checked(flags)
    kind = "sweep" if flags.multirun else "run"
    arguments = [*_flags(flags, "config_dir", "config_name", "multirun"), *overrides]
    if cfg.dry_run:
        with TemporaryDirectory() as temporary:
            _hydra([*arguments, "epochs=1", "limit_batches=1", f"hydra.{kind}.dir={_quoted(temporary)}"])
            _raise_failures("a dry sweep" if flags.multirun else "")
        print("dry run: one batch went through everything; no file was left")
        return
    named = any(line.startswith(f"hydra.{kind}.dir=") for line in overrides)
    folder = (run.claim if named else run.create)(Path(cfg.hydra[kind].dir))
    _hydra([*arguments, f"hydra.{kind}.dir={_quoted(str(folder))}"])
    if kind == "run" and failures and isinstance(failures[0][1], ConfigError) and not named:
        shutil.rmtree(folder)  # nothing was run: there is nothing to find in it
    _raise_failures(str(folder) if flags.multirun else "")


def _raise_failures(sweep: str) -> None:
    """The error of the run or, of a sweep, how many jobs had one."""
    if failures and sweep:
        raise SweepError(f"{len(failures)} jobs in {sweep} failed: {'; '.join(name for name, _ in failures)}")
    if failures:
        raise failures[0][1]


def _checked(flags: Namespace) -> tuple[DictConfig, list[str]]:
    """The config of the run, or of a sweep's first job, and the overrides for Hydra; every job's values are checked."""
    if not flags.multirun:
        return checked(flags.overrides, flags.config_dir, flags.config_name)
    jobs = [checked(sample, flags.config_dir, flags.config_name) for sample in sweep_samples(flags.overrides)]
    added = {line.split("=", 1)[0] for _, lines in jobs for line in lines if line.startswith("++")}
    overrides = [
        f"++{line.lstrip('+')}" if f"++{line.lstrip('+').split('=')[0]}" in added else line for line in flags.overrides
    ]
    return jobs[0][0], overrides


def _job(cfg: DictConfig) -> float:
    """What Hydra calls for each job, in its folder. Failures are kept: Hydra would print its own lines about them."""
    from trainer.train import train

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    try:
        return train(cfg, folder, {slot: str(settings.runtime.choices[slot]) for slot in SLOTS})
    except BaseException as error:
        log.exception("the run ended early")
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        end = {"status": status, "error": str(error), "run_dir": str(folder.absolute())}
        run.write_json(folder / "summary.json", end)
        if not isinstance(error, Exception):
            raise
        failures.append((" ".join(settings.overrides.task), error))
        if settings.mode == RunMode.MULTIRUN:
            _fail(getattr(error, "code", 1), f"job {settings.job.num}: {error}; see {folder / 'train.log'}")
    return math.nan


def _hydra(arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()


def _flags(flags: Namespace, *names: str) -> list[str]:
    """The given flags as arguments again, those that were set."""
    given = {f"--{name.replace('_', '-')}": getattr(flags, name) for name in names}
    return [flag if value is True else f"{flag}={value}" for flag, value in given.items() if value]


def _quoted(text: str) -> str:
    """As Hydra's grammar wants a value that may contain anything."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _parse(arguments: list[str]) -> Namespace:
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
    words = [word.lstrip("-").split("=")[0] for word in message.split() if word.startswith("--")]
    hint = next((f"; did you mean {word}=...?" for word in words if word.split(".")[0] in {*KNOBS, *SLOTS}), "")
    raise ConfigError(f"{message}{hint}; settings are key=value, dltrain --help lists them")


def _help(config_dir: str | None) -> str:
    lines = [
        "dltrain trains any model on any data with any loss and any optimizer, all chosen by name.",
        "",
        "  dltrain                                          the default: digits with a small CNN, in seconds",
        "  dltrain model=resnet data=mnist epochs=3         choose parts, set knobs",
        "  dltrain data=csv data.path=my.csv data.target=price model=mlp",
        "  dltrain -m model=mlp,simple_cnn optim.lr=1e-3,1e-2    a sweep: one run for each combination",
        "  tensorboard --logdir outputs                     look at all runs",
    ]
    for group, options in groups(config_dir).items():
        lines += ["", f"{group}=", *(f"  {name:<16} {about}" for name, about in options.items())]
    lines += ["", "knobs, with their defaults"]
    for name, knob in KNOBS.items():
        choices = knob.metadata["choices"]
        about = knob.metadata["about"] + (f": {', '.join(choices)}" if choices else "")
        lines.append(f"  {name + '=' + str(knob.default):<22} {about}")
    lines += [
        "",
        "A part's own settings are dotted: optim.lr=0.01 data.batch_size=full model.hidden=[64,32].",
        "--cfg job prints the whole config and runs nothing; -m sweeps over comma-separated values;",
        "--config-dir DIR adds yaml files of your own; --hydra-help and --shell-completion are Hydra's.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
