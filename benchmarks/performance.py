"""Measure the tool's speed against its peers and the floor, and write docs/PERFORMANCE.md.

    python benchmarks/performance.py install                      # the peers, into their own environment; once
    DLTRAIN_DATA=... python benchmarks/performance.py             # all sections, about an hour on two cores
    DLTRAIN_DATA=... python benchmarks/performance.py light tiny  # only these; the others as last measured
    python benchmarks/performance.py write                        # only the page, from the stored tables

The floor is just forward, backward and step on batches prepared in memory beforehand.
"""

from __future__ import annotations

import subprocess
import sys

from feeding import augmentation, evaluation, scale, streaming
from harness import PEERS, write
from training import convolutions, light, tiny
from whole import accuracy, start

ALL = (light, convolutions, tiny, start, accuracy, scale, augmentation, streaming, evaluation)
SECTIONS = {section.__name__: section for section in ALL}


def install() -> None:
    """Install the peers' packages into their own environment."""
    python = PEERS / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(PEERS / ".venv")], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / "requirements.txt")], check=True)


def main() -> None:
    """Measure the requested sections, and write the tables."""
    asked = sys.argv[1:] or list(SECTIONS)
    if asked in (["install"], ["write"]):
        install() if asked == ["install"] else write(ALL)
        return
    if unknown := [name for name in asked if name not in SECTIONS]:
        sys.exit(f"{unknown[0]}: unknown section; choose from {', '.join(SECTIONS)}, install and write")
    for name in asked:
        print(name, flush=True)
        SECTIONS[name]()
        write(ALL)


if __name__ == "__main__":
    main()
