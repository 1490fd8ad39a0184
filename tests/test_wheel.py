"""The wheel, in a fresh environment."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(out), str(PROJECT)]
    subprocess.run(command, check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.wheel
def test_the_wheel_holds_the_package_and_every_config_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    conf = {f"trainer/conf/{file.relative_to(PROJECT / 'conf')}" for file in (PROJECT / "conf").rglob("*.yaml")}
    assert conf | {"trainer/py.typed"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"trainer"}


@pytest.mark.wheel
def test_the_wheel_runs_in_a_fresh_environment_and_an_empty_folder(wheel, tmp_path):
    home = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    subprocess.run([str(home / "bin" / "pip"), "install", "-q", str(wheel)], check=True)
    empty = tmp_path / "empty folder"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DLTRAIN_DATA")}
    done = subprocess.run([str(home / "bin" / "dltrain")], cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (summary,) = empty.glob("outputs/2*/*/summary.json")
    assert json.loads(summary.read_text())["test"]["accuracy"] >= 0.97
    assert [path.name for path in empty.iterdir()] == ["outputs"]
