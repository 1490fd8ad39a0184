"""What the process does with memory: with objects that stay, and with what it has freed."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def keep() -> None:
    """Exempt what is imported from garbage collection, and let glibc keep what is freed; call it before data is read.

    The command line starts with collection off (see trainer/cli.py), and this turns it on. Elsewhere it is left alone.

    By itself glibc gives the memory of large tensors back to the kernel at once, and asks for it again at the next step
    of a network: up to a third of the time goes to page faults. Without glibc, that part does nothing.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(M_TOP_PAD, 64 << 20)
