"""Measures how fast the tool is, beside its peers and beside the floor, and writes docs/PERFORMANCE.md.

    python benchmarks/performance.py install                      # the peers, in an environment of their own; once
    DLTRAIN_DATA=... python benchmarks/performance.py             # all sections, about an hour on two cores
    DLTRAIN_DATA=... python benchmarks/performance.py light tiny  # these anew, the others as they were measured before
    python benchmarks/performance.py write                        # the page anew, from what was measured before

The floor is the same forward, backward and step on batches that were laid out in memory beforehand, and nothing else.
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
    """The peers' packages in an environment of their own."""
    python = PEERS / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(PEERS / ".venv")], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / "requirements.txt")], check=True)


def main() -> None:
    """Measure what is asked for, and write the tables."""
    asked = sys.argv[1:] or list(SECTIONS)
    if asked in (["install"], ["write"]):
        install() if asked == ["install"] else write(ALL)
        return
    if unknown := [name for name in asked if name not in SECTIONS]:
        sys.exit(f"{unknown[0]} is no section; there are {', '.join(SECTIONS)}, install and write")
    for name in asked:
        print(name, flush=True)
        SECTIONS[name]()
        write(ALL)


if __name__ == "__main__":
    main()
