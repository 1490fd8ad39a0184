"""The command line. Nothing here imports torch: help, completion and a look at a config come at once.

Hydra is imported where it composes: it takes longer than a table of a thousand runs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from trainer.cli.commands import COMMANDS
from trainer.cli.settings import help_of, parse
from trainer.config.keys import parse_line
from trainer.errors import ConfigError, DltrainError, Stopped, as_line

HELP = {"--help", "-h"}
log = logging.getLogger("dltrain")


class Terminated(BaseException):
    """SIGTERM has come."""


def main() -> None:
    """The `dltrain` command; exits with the codes of trainer/errors.py."""
    # Imports create 200,000 objects and no garbage, and looking for it takes a quarter of a small run's CPU time.
    # Whatever trains or predicts turns collection on (engine/numerics.py); a last look at the end is skipped too.
    gc.disable()
    signal.signal(signal.SIGTERM, _terminate)
    _open_streams()
    logging.raiseExceptions = False  # a log that cannot be written is said by the console, once
    threading.excepthook = _log_thread
    code = run(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


def _open_streams() -> None:
    """What a service has closed leads nowhere: else files that are opened would be taken for the terminal."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    """What ended a thread, such as TensorBoard's writer, reaches the run when it writes next."""
    log.error("a thread has ended: %s: %s", ended.exc_type.__name__, ended.exc_value)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for; return the exit code, after a line on stderr if it is not 0."""
    sys.path.append(os.getcwd())  # a user's own model is a module in the folder that they work in
    try:
        _dispatch(list(arguments))
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
    with contextlib.suppress(BrokenPipeError):
        print(as_line(code, message), file=sys.stderr, flush=True)
    return code


def _dispatch(arguments: list[str]) -> None:
    if arguments and arguments[0] in COMMANDS:
        _run_command(*arguments)
        return
    if HELP & {*arguments}:
        from trainer.cli.help import usage

        print(usage(arguments))
        return
    from trainer.cli.start import start
    from trainer.config import command_line
    from trainer.config.compose import launch

    _refuse_unknown_command(*arguments)
    flags = command_line.parse(arguments)
    if flags.hydra_help or flags.info or flags.shell_completion:
        launch(flags)
    elif flags.cfg:
        launch(command_line.of_one_run(flags))
    elif flags.multirun:
        from trainer.sweep.sweep import sweep

        gc.enable()
        sweep(flags, arguments)
    else:
        start(flags, arguments)


def _run_command(name: str, *arguments: str) -> None:
    """Print the help of a command, or have its module do it."""
    module, about = COMMANDS[name]
    command = importlib.import_module(f"trainer.cli.commands.{module}")
    if HELP & {*arguments}:
        print(help_of(name, about, command.USAGE))
    else:
        command.main(parse(name, command.USAGE, arguments))


def _refuse_unknown_command(word: str = "", *_: str) -> None:
    """Raise ConfigError for a first word that is nearly a command, naming it."""
    if parse_line(word).value is None and (near := get_close_matches(word, COMMANDS, 1)):
        raise ConfigError(f"{word!r}: unknown command; did you mean dltrain {near[0]}?")
