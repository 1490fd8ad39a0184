"""Set up number formats, random generators and memory, before a run makes its first tensor."""

import contextlib
import ctypes
import gc
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
    """Return the autocast context of the forward pass, and a gradient scaler that is active in fp16 only.

    `fp32` is exact IEEE single precision, also in CUDA's matrix products, convolutions and recurrent layers; `tf32`
    lets CUDA round their inputs to 10 bits; `bf16` and `fp16` run the forward pass in 16 bits (Micikevicius et al.
    2018). `fp64` is double precision throughout, weights and data included; line searches need it to converge.

    Raises:
        ConfigError: the device does not support the precision, which is never changed silently.
    """
    if name in ("tf32", "fp16") and device.type != "cuda":
        raise ConfigError(
            f"precision={name} needs CUDA, and device={device.type} is in use; try precision=fp32 or precision=bf16"
        )
    if name == "fp64" and device.type == "mps":
        raise ConfigError(f"precision=fp64: device={device.type} has no double precision; try device=cpu")
    if device.type == "cuda":
        # Not the newer `fp32_precision`: torch.compile reads these, and torch raises if both have been set.
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = name == "tf32"  # of convolutions and recurrent layers
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
    autocast = torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()
    return autocast, GradScaler("cuda", enabled=name == "fp16")


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed every random generator, and choose whether torch may use nondeterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports torch's compiler: 1.2 s
        torch.use_deterministic_algorithms(deterministic)


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and torch's generators, on all devices, as lists and tensors."""
    version, numbers, gauss = random.getstate()
    kind, keys, *rest = cast(tuple, np.random.get_state(legacy=True))
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore a state from `random_state`; CUDA generators only if the number of devices is unchanged."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def settle_memory() -> None:
    """Exempt imports from garbage collection, and make glibc keep freed memory. Call before the first large tensor.

    The command line starts with collection off (see cli/__init__.py); this turns it on, and leaves it alone elsewhere.
    By default glibc returns the memory of large tensors to the kernel at once and asks for it again at the next step:
    page faults then take up to a third of the time. Without glibc, nothing changes.
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
