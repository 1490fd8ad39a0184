"""The command line. Nothing here imports torch, so that help, completion and --cfg are instant.

Hydra is imported only to compose: importing it takes longer than listing a thousand runs.
"""

import contextlib
import gc
import importlib
import logging
import os
import shlex
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
from trainer.config.schema import groups
from trainer.errors import ConfigError, DltrainError, Stopped, as_line, known, stops
from trainer.view import streams

HELP = {"--help", "-h"}
log = logging.getLogger("dltrain")


def main() -> None:
    """Run the `dltrain` command, and exit with the codes of trainer/errors.py."""
    # Imports create 200,000 objects and no garbage, and collecting it takes a quarter of a small run's CPU time.
    # Training and prediction turn collection on (engine/numerics.py); the last collection at exit is skipped too.
    gc.disable()
    streams.open_streams()
    for number in stops():
        if number != signal.SIGINT:  # raises KeyboardInterrupt
            signal.signal(number, _stop)
    os.environ["PYTHONSAFEPATH"] = "1"  # no process that is started imports a user's own random.py
    logging.raiseExceptions = False  # the console reports a log that cannot be written, once
    threading.excepthook = _log_thread
    code = run(sys.argv[1:])
    if not code and (failure := streams.failure()):
        code = _fail(6, f"standard output: {failure.strerror}")
    gc.freeze()
    sys.exit(code)


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    """Log what ended a thread, such as TensorBoard's writer; the run sees it at its next write."""
    log.error("a thread failed: %s: %s", ended.exc_type.__name__, ended.exc_value)


def _stop(number: int, *_: object) -> NoReturn:
    raise Stopped(number)


def run(arguments: Sequence[str]) -> int:
    """Execute a command line and return its exit code; an error prints one line on stderr."""
    try:
        _dispatch(list(arguments))
    except (DltrainError, Stopped) as error:
        return _fail(error.code, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except BrokenPipeError:  # the reader of our output, such as `head`, is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if shown := known(error):
            return _fail(shown.code, str(shown))
        traceback.print_exc()
        return _fail(1, f"unexpected {type(error).__name__}: {error}")
    return 0


def _fail(code: int, message: str) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(as_line(code, message), file=sys.stderr, flush=True)
    return code


def _dispatch(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    if name in ("help", "train", "version", "-V"):
        first = {"help": ["--help"], "train": []}.get(name, ["--version"])
        arguments = [*arguments[1:], *first]
        name = arguments[0] if arguments else ""
    if name in COMMANDS:
        module, about = COMMANDS[name]
        command = importlib.import_module(f"trainer.cli.commands.{module}")
        if HELP & {*arguments}:
            print(help_of(name, about, command.USAGE))
        else:
            command.main(parse(name, command.USAGE, arguments[1:]))
        return
    if HELP & {*arguments}:
        from trainer.cli.help import usage

        print(usage(arguments))
        return
    if _may_be_a_command(name) and (near := get_close_matches(name, COMMANDS, 1)):
        raise ConfigError(f"{name!r}: unknown command; did you mean dltrain {near[0]}?")
    from trainer.cli.start import start, sweep, understood
    from trainer.config.command_line import of_one_run
    from trainer.config.compose import show

    flags, line, is_shorthand = understood(arguments)
    if flags.hydra_help or flags.info or flags.shell_completion:
        show(flags)
    elif flags.cfg:
        show(of_one_run(flags))
    else:
        if is_shorthand:
            print(f"means  dltrain {shlex.join(line)}")
        (sweep if flags.multirun else start)(flags, line)
        streams.forgive()  # what counts is in the folder of the run


def _may_be_a_command(word: str) -> bool:
    """Whether a word is nothing else: no setting, flag, file or option such as `mnist`."""
    is_word = bool(word) and parse_line(word).value is None and not word.startswith("-")
    return is_word and not os.path.exists(word) and not any(word in options for options in groups().values())
