"""Record where the numbers of a run come from: versions, machine, code and command."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBS = ("dltrain", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pandas", "scikit-learn", "safetensors")


def environment(command: Sequence[str], device: str) -> dict[str, Any]:
    """Return versions, machine, code and command, for `environment.json`."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "command": list(command),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "device": device,
        "packages": {name: found for name in LIBS if (found := _version(name))},
        "git": _git(Path.cwd()),
        "dltrain_git": _git(Path(__file__).parent),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(folder: Path) -> dict[str, Any] | None:
    """Return a folder's commit and whether its repository has uncommitted changes; None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
