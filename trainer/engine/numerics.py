"""What a run needs of the machine before the first tensor: number formats, random generators and memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from torch.amp import GradScaler

from trainer.errors import ConfigError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def choose_precision(name: str, device: torch.device) -> tuple[AbstractContextManager, GradScaler]:
    """The autocast context of the forward pass, and a gradient scaler that does nothing outside fp16.

    `fp32` is exact IEEE single precision, also in CUDA's matrix products and convolutions; `tf32` lets CUDA
    round their inputs to 10 bits; `bf16` and `fp16` run the forward pass in 16 bits (Micikevicius et al. 2018).
    `fp64` is double precision throughout, weights and data included: what a search along a line needs to converge.

    Raises:
        ConfigError: a precision that the device does not have. It is never changed silently.
    """
    if name in ("tf32", "fp16") and device.type != "cuda":
        raise ConfigError(
            f"precision={name} needs CUDA and device={device.type} is in use; here precision=fp32 or bf16 work"
        )
    if name == "fp64" and device.type == "mps":
        raise ConfigError(f"precision=fp64: device={device.type} has no double precision; device=cpu has")
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = (  # type: ignore[attr-defined]
            "tf32" if name == "tf32" else "ieee"
        )
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
    autocast = torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()
    return autocast, GradScaler("cuda", enabled=name == "fp16")


def seed_everything(seed: int, deterministic: bool) -> None:
    """Start every random generator from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


def random_state() -> dict[str, Any]:
    """Of Python, NumPy and torch with all its devices, in lists and tensors alone."""
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = cast(tuple, np.random.get_state(legacy=True))
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was asked; devices that are not here any more are left out."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def keep_freed_memory() -> None:
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
