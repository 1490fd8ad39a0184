"""Record where the numbers of a run come from: versions, machine, code and command."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
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
    """Return a folder's commit and whether tracked or Python files have changed since; None outside a repository.

    Nothing of the repository runs: git compares the working tree as seen from an empty repository, which has no
    filters, hooks, monitors or remotes. The first question only reads, and is refused in a stranger's repository
    unless `safe.directory` allows it.
    """

    def git(*arguments: str, environment: Mapping[str, str] = os.environ) -> list[str]:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=10)
        return os.fsdecode(done.stdout).splitlines()

    try:
        top, own, common, commit = git("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir", "HEAD")
        with TemporaryDirectory() as blank:
            Path(blank, "refs").mkdir()
            Path(blank, "HEAD").write_text(commit)
            for index in Path(own).glob("*index*"):
                shutil.copyfile(index, Path(blank, index.name))
            objects = str((folder / common / "objects").resolve())
            blind = {"GIT_DIR": blank, "GIT_WORK_TREE": top, "GIT_OBJECT_DIRECTORY": objects}
            blind |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
            blind |= {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
            has_modes = "filemode = false" not in Path(folder, common, "config").read_text(errors="replace")
            modes = ("-c", f"core.fileMode={has_modes}")
            tracked = git(*modes, "status", "--porcelain", "-uno", "--ignore-submodules=all", environment=blind)
            new = git("ls-files", "--others", "--exclude-standard", "--", ":(top)*.py", environment=blind)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(tracked or new)}
