"""The benchmark of a GPU runs through where there is none, so that its first minute on one is not spent on a typo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_every_section_of_the_gpu_benchmark_runs_through_on_a_cpu(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "dry", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    page, kept = (tmp_path / name for name in ("PERFORMANCE_GPU.md", "performance_gpu.json"))
    tables = json.loads(kept.read_text())
    assert list(tables) == ["tests", "steps", "precisions", "fast", "pipeline", "jobs", "trace"]
    assert all(table["rows"] for table in tables.values())
    assert page.read_text().count("\n## ") == len(tables)
