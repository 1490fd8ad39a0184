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
from typing import NoReturn

from trainer.cli.commands import COMMANDS
from trainer.errors import DltrainError, Stopped, as_line

log = logging.getLogger("dltrain")


class Terminated(BaseException):
    """SIGTERM has come."""


def main() -> None:
    """The `dltrain` command; exits with the codes of trainer/errors.py."""
    # Imports make 200,000 objects and no garbage: to look for it is a quarter of the CPU time of a small run. Whatever
    # trains or predicts turns it on, see trainer/memory.py; looking for it once more at the end is left out.
    gc.disable()
    signal.signal(signal.SIGTERM, _terminate)
    _open_streams()
    logging.raiseExceptions = False  # a log that cannot be written is said by the console, once
    threading.excepthook = _log_thread
    code = _exit_code(sys.argv[1:])
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
    with contextlib.suppress(BrokenPipeError):
        print(as_line(code, message), file=sys.stderr, flush=True)
    return code


def _dispatch(arguments: list[str]) -> None:
    if arguments and arguments[0] in COMMANDS:
        importlib.import_module(f"trainer.cli.commands.{COMMANDS[arguments[0]][0]}").main(arguments[1:])
        return
    from trainer.cli.help import usage
    from trainer.cli.start import launch, start
    from trainer.config.command_line import again, checked_flags, parse

    flags = parse(arguments)
    if flags.help:
        print(usage(flags.config_dir))
    elif flags.hydra_help or flags.info or flags.shell_completion:
        launch(arguments, lambda cfg: None)
    elif flags.cfg:
        _, overrides = checked_flags(flags)
        launch([*again(flags, "config_dir", "config_name", "cfg", "package", "resolve"), *overrides], lambda cfg: None)
    elif flags.multirun:
        from trainer.sweep.sweep import sweep

        gc.enable()
        sweep(flags, arguments)
    else:
        start(flags, arguments)
