"""Shared fixtures: the command line in this process, and the real data."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

if {"CI", "JPY_PARENT_PID"} & {*os.environ}:  # where no terminal redraws lines
    os.environ.pop("CI", None)
    os.environ.pop("JPY_PARENT_PID", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores

import torch

from trainer import cli
from trainer.cli.commands import COMMANDS

UNLESS_ASKED = ("plots=off", "tensorboard=basic", "baselines=off")  # they take longer than a tiny run


class Outcome(NamedTuple):
    """The result of a command; `folder` is that of the newest run."""

    code: int
    out: str
    err: str
    folder: Path | None

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())


@pytest.fixture
def dltrain(tmp_path, monkeypatch, capsys):
    """Run command lines in an empty folder.

    New runs draw nothing unless told to; resumed ones keep their settings.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "120")

    def command(*arguments: str) -> Outcome:
        keys = {line.partition("=")[0] for line in arguments}
        starts = not {*COMMANDS, "resume"} & keys or "resume=auto" in arguments
        unless_asked = [line for line in UNLESS_ASKED if line.partition("=")[0] not in keys] if starts else []
        code = cli.run([*arguments, *unless_asked])
        for handler in logging.getLogger().handlers[:]:
            if isinstance(handler, logging.FileHandler):
                handler.close()
                logging.getLogger().removeHandler(handler)
        captured = capsys.readouterr()
        folders = sorted(tmp_path.glob("outputs/2*/*"), key=lambda f: f.stat().st_mtime_ns)
        return Outcome(code, captured.out, captured.err, folders[-1] if folders else None)

    yield command
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data, DLTRAIN_DATA."""
    folder = Path(os.environ.get("DLTRAIN_DATA", "")).absolute()
    if not (folder / "MNIST").is_dir():
        pytest.skip("set DLTRAIN_DATA to a folder with MNIST/raw/*.gz")
    return folder


@pytest.fixture
def small_mnist(real_data, tmp_path) -> Path:
    """Make a writable data.root with the first 1000 and 200 images of MNIST, gzipped."""
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (real_data / "mnist_small" / "MNIST" / "raw").glob("*.gz"):
        shutil.copyfile(file, raw / file.name)
    return tmp_path / "root"


@pytest.fixture
def one_thread():
    """Use one thread, so that sums have one order and runs are bit-identical."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
