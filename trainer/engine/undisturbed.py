"""Run in somebody else's process: start from what the command line starts from, and leave all as it was."""

import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch

from trainer.engine.numerics import random_state, set_random_state
from trainer.errors import Stopped, known

_one_at_a_time = threading.RLock()  # random generators, and the rest of what is set here, belong to the process


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the block a fresh process's settings, and then the caller's back: torch's, generators, logging, environment.

    Threads enter one at a time. Only what glibc does with freed memory stays (see `settle_memory`).

    Raises:
        DltrainError: also for an error of a library whose cause lies outside the program.
        KeyboardInterrupt: a signal stopped the run, which is saved; one other than Ctrl-C is raised again before.
    """
    try:
        with ExitStack() as back, torch.inference_mode(False), torch.enable_grad():
            back.enter_context(_one_at_a_time)
            back.callback(set_random_state, random_state())
            back.callback(_set_environment, dict(os.environ))
            _keep_torch(back)
            _keep_logging(back)
            if not gc.isenabled():
                back.callback(gc.disable)
                gc.enable()
            yield
    except Stopped as stopped:
        if (number := stopped.code - 128) != signal.SIGINT:
            signal.raise_signal(number)
        raise KeyboardInterrupt(str(stopped)) from None
    except Exception as error:
        if (shown := known(error)) in (None, error):
            raise
        raise shown from error


def _set_environment(before: Mapping[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _keep_torch(back: ExitStack) -> None:
    back.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float32)
    if torch.get_default_device().type != "cpu":
        back.callback(torch.set_default_device, torch.get_default_device())
        torch.set_default_device(None)
    if torch.cuda.is_available():
        back.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        back.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    back.callback(lambda: torch.use_deterministic_algorithms(before[0], warn_only=before[1]))
    if any(before):
        torch.use_deterministic_algorithms(False)


def _keep_logging(back: ExitStack) -> None:
    """Set the caller's handlers aside: the run's log would close them, and they would repeat its lines."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    for logger in (root, logging.getLogger("matplotlib")):
        back.callback(logger.setLevel, logger.level)

    def restore() -> None:
        for handler in root.handlers:
            handler.close()
        root.handlers = before

    back.callback(restore)
