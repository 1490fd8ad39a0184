"""What the jobs of a sweep that have the same data, seed and fold measure only once."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer.files import read_json, write_json
from trainer.runs.index import is_sweep
from trainer.runs.records import believed, number, table, texts

FOLDER = ".baselines"  # in that of the sweep
KINDS = {"found": table(table(number)), "notes": texts}
Measured = tuple[dict[str, dict[str, float]], list[str]]  # metrics of each baseline by name, notes


def shared(run: Path, key: Mapping[str, Any], measure: Callable[[], Measured]) -> Measured:
    """Return what another job of this run's sweep has measured under the same key, or measure, and keep it for others.

    A run that belongs to no sweep measures. Jobs that run at the same time may measure the same.
    """
    if not is_sweep(run.parent):
        return measure()
    text = json.dumps(key, sort_keys=True, default=str)
    file = run.parent / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    known = believed(read_json(file), KINDS)
    if known.keys() == KINDS.keys():
        floor = {name: {metric: float(value) for metric, value in row.items()} for name, row in known["found"].items()}
        return floor, known["notes"]
    found, notes = measure()
    with suppress(OSError):  # the others then measure it themselves
        file.parent.mkdir(exist_ok=True)
        write_json(file, {"found": found, "notes": notes})
    return found, notes
