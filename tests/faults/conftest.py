import os
import tempfile
import time
from pathlib import Path

import pytest
from bench import Bench


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="tests/faults: all trials, and write docs/RELIABILITY.md")


@pytest.fixture(scope="session")
def bench(request):
    """Make the unbroken run; after all tests with all trials, write the table."""
    config, started = request.config, time.monotonic()
    is_full = config.getoption("full", False)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder), quick=not is_full)
        yield bench
    if is_full and not config.option.keyword and all(map(os.path.isdir, config.args)):  # not a part of them
        bench.write(time.monotonic() - started)
