"""What the process does with memory that it has used."""

from __future__ import annotations

import contextlib
import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def keep() -> None:
    """Let glibc keep what is freed; elsewhere this does nothing.

    By itself it gives the memory of large tensors back to the kernel at once, and asks for it again at the next step of
    a network: up to a third of the time goes to page faults. To be called before the first large tensor is made.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(M_TOP_PAD, 64 << 20)
