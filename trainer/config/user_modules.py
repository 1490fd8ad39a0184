"""The user's own modules: files of the working folder, imported only where a config names one that the user chose.

The working folder is not on Python's path, since a file there may be called like an optional package that some library
looks for. Configs that may be a stranger's, from a run folder or outside the working folder, import nothing of it
without `trust=true`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from trainer.config.keys import SLOTS
from trainer.errors import CheckpointError, ConfigError

_NOT_FROM_HERE = ("trainer", "torch", "torchvision", "")
_stranger: ContextVar[Path | None] = ContextVar("stranger", default=None)  # folder that the config comes from


class _Finder(MetaPathFinder):
    """Finds modules of the working folder for those that a config named, and for what these import."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or not (fullname in self.names or _importer() in self.names):
            return None
        found = PathFinder.find_spec(fullname, [str(Path.cwd())])
        if found:
            self.names.add(fullname)
        return found


_finder = _Finder()


def _importer() -> str:
    """Return the top-level name of the module whose import statement runs."""
    frame: FrameType | None = sys._getframe(2)
    while frame and str(frame.f_globals.get("__name__")).split(".")[0] in ("importlib", "_frozen_importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).split(".")[0] if frame else ""


def file_of(name: str) -> Path | None:
    """Return the file of the working folder that the module is, or would be; nothing is imported."""
    root = name.split(".")[0]
    if root in _NOT_FROM_HERE or root in sys.stdlib_module_names:
        return None
    place = Path.cwd().joinpath(*name.split("."))
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file) if file and _is_own(file) else None
    installed = PathFinder.find_spec(root)  # is found first
    if installed and installed.origin and not _is_own(installed.origin):
        return None
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def _is_own(file: str) -> bool:
    """Whether a file is the working folder's; Python itself may lie in it: in `/`, a home, or with a project."""
    parents = Path(file).resolve().parents
    return Path.cwd() in parents and not any(Path(p).resolve() in parents for p in (sys.prefix, sys.base_prefix))


def allow(target: Any) -> None:
    """Let the module that a `_target_` names be imported from the working folder.

    Raises:
        CheckpointError: a stranger chose it.
    """
    root = str(target).split(".")[0]
    file, folder = file_of(root), _stranger.get()
    if not file:
        return
    if folder:
        raise CheckpointError(
            f"{folder} was not started here by you, and its _target_={target} would run {file}; "
            "add trust=true if you know what that file does"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    _finder.names.add(root)


def allow_all(cfg: Mapping[str, Any], config_dir: str | None = None) -> None:
    """Let the modules that a run's config names be imported, before anything is; see `allow`.

    Raises:
        ConfigError: a `config_dir` outside the working folder names one.
    """
    is_inside = not config_dir or Path(config_dir).resolve().is_relative_to(Path.cwd().resolve())
    for slot, target in _targets(cfg):
        if not is_inside and (file := file_of(str(target).split(".")[0])):
            raise ConfigError(
                f"--config-dir {config_dir} lies outside {Path.cwd()}, and its {slot}._target_={target} would run "
                f"{file}; add trust=true if you know what that file does"
            )
        allow(target)


def names_user_module(cfg: Mapping[str, Any]) -> bool:
    """Whether a component of a run's config is the user's own."""
    return any(file_of(str(target).split(".")[0]) for _, target in _targets(cfg))


def _targets(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what each slot names, and each metric of the user's own: `module.name`, or settings with a `_target_`."""
    yield from ((slot, cfg[slot].get("_target_")) for slot in SLOTS)
    metrics = cfg["metrics"]
    are_several = isinstance(metrics, Sequence) and not isinstance(metrics, str)
    for entry in (metrics[place] for place in range(len(metrics))) if are_several else [metrics]:
        target = entry.get("_target_") if isinstance(entry, Mapping) else entry
        if "." in str(target):
            yield "metrics", target


@contextmanager
def chosen_by(stranger: Path | None) -> Iterator[None]:
    """Say whose configs are read in the block: those of a stranger's run folder, or the user's own."""
    token = _stranger.set(stranger)
    try:
        yield
    finally:
        _stranger.reset(token)
