"""Number formats: which operations run in fewer bits, and the loss scale that fp16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.amp import GradScaler

from trainer.errors import ConfigError


def choose_precision(name: str, device: torch.device) -> tuple[AbstractContextManager, GradScaler]:
    """The autocast context of the forward pass, and a gradient scaler that does nothing outside fp16.

    `fp32` is exact IEEE single precision, also in CUDA's matrix products, convolutions and recurrent layers; `tf32`
    lets CUDA round their inputs to 10 bits; `bf16` and `fp16` run the forward pass in 16 bits (Micikevicius et al.
    2018).
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
        # Not by the newer `fp32_precision`: torch.compile reads these, and torch raises where both have been set.
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = name == "tf32"  # of convolutions and recurrent layers
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
    autocast = torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()
    return autocast, GradScaler("cuda", enabled=name == "fp16")
