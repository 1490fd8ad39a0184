"""Strangers' folders and hostile surroundings, as commands in a shell: each script in attacks/ ends with GOOD or BAD.

    pytest -n 0 -m faults tests/faults/test_attacks.py             # the quick ones
    pytest -n 0 -m faults tests/faults/test_attacks.py --full      # all of them, half an hour
    bash tests/faults/attacks/rce_git.sh                           # one of them

A script that cannot be tried here (it needs root, git, a compiler or `unshare`) ends with 2 and is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

FOLDER = Path(__file__).parent / "attacks"
ALL = sorted(file.stem for file in FOLDER.glob("*.sh") if file.stem != "lib")
QUICK = ("rce_git", "rce_reproduce_origin", "stdout_full")  # the others have a twin in the ordinary tests, or take long


held: list[bool] = []


@pytest.mark.parametrize("name", ALL)
def test_an_attack_fails(request, tmp_path, name):
    if name not in QUICK and not request.config.getoption("full", False):
        pytest.skip("--full")
    for tool in (FOLDER / "fk.py", FOLDER / "noflock.c"):
        shutil.copy(tool, tmp_path)
    if compiler := shutil.which("cc"):
        library = ["-shared", "-fPIC", "-o", tmp_path / "noflock.so", tmp_path / "noflock.c"]
        subprocess.run([compiler, *library], check=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    about = {
        "PATH": path,
        "WORK": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(FOLDER.parents[2]), str(tmp_path)]),
    }
    command = ["bash", FOLDER / f"{name}.sh"]
    done = subprocess.run(command, env=os.environ | about, capture_output=True, text=True, timeout=1800)
    if done.returncode == 2:
        pytest.skip(f"cannot be tried here: {done.stdout[-300:]}{done.stderr[-300:]}")
    held.append(done.returncode == 0)
    assert held[-1], done.stdout[-3000:] + done.stderr[-1000:]


def test_the_attacks_are_in_the_table(bench):
    bench.row("a stranger's folder or hostile surroundings (tests/faults/attacks): nothing ran, nothing was lost", held)
