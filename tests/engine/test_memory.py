"""Freed memory stays in the process, on glibc."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys, torch
from trainer.engine import numerics
if sys.argv[1] == "keep":
    numerics.settle_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10_000_000)
before = faults()
for _ in range(20):
    torch.ones(10_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.slow
def test_a_large_tensor_reuses_freed_pages():
    found = {}
    for how in ("keep", "default"):
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
        found[how] = int(done.stdout)
    assert found["keep"] < 100
    assert found["default"] > 20 * found["keep"]


def test_nothing_happens_without_glibc(monkeypatch):
    from trainer.engine import numerics

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(numerics.ctypes, "CDLL", lambda _: pytest.fail("asked for a library"))
    numerics.settle_memory()
