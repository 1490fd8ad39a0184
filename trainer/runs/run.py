"""A run as recorded in its folder, whoever wrote that. Nothing here imports torch."""

import math
import re
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer.config.keys import SLOTS
from trainer.errors import CheckpointError
from trainer.files import read_json, read_yaml
from trainer.runs import records
from trainer.runs.folder import MetricsFile, RunFolder
from trainer.runs.lock import is_running

METRICS = ("best", "test", "baseline", "baselines", "monitor")  # entries of a summary
STATES = ("finished", "running", "interrupted", "pruned", "failed", "damaged")


class Run:
    """A run as recorded in its folder, read lazily; what is missing or unreadable is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, RunFolder(folder)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Time, command, code, packages and machine of its first start."""
        return records.environment(read_json(self.files.environment))

    @property
    def latest(self) -> dict[str, Any]:
        """The environment of its latest start, perhaps a resumption."""
        return [self.environment, *self.environment.get("resumed", [])][-1]

    @cached_property
    def f1(self) -> str:
        """Today's name of what this run calls `f1`: up to 0.1.0 that was the macro average."""
        return "f1" if not self.environment or "f1" in self.environment else "f1_macro"

    def _of_today(self, content: Any) -> Any:
        if isinstance(content, dict):
            return {self._of_today(key): self._of_today(value) for key, value in content.items()}
        return re.sub(r"(^|/)f1$", rf"\1{self.f1}", content) if isinstance(content, str) else content

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How it ended, with today's names of metrics."""
        summary = records.believed(read_json(self.files.summary), records.SUMMARY)
        return summary | {key: self._of_today(summary[key]) for key in METRICS if key in summary}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The whole config, read as plain data; each component in it has settings and a target.

        Raises:
            CheckpointError: it cannot be read.
        """
        config = _yaml(self.files.config, dict)
        for slot in SLOTS:
            node = config.get(slot)
            if not (isinstance(node, dict) and isinstance(node.get("_target_"), str)):
                raise CheckpointError(f"{self.files.config}: {slot}: expected settings such as {{_target_: ...}}")
        return config

    @property
    def overrides(self) -> list[str]:
        """The overrides that made its config; a job of a sweep has its own.

        Raises:
            CheckpointError: they cannot be read.
        """
        return [str(line) for line in _yaml(self.files.hydra / "overrides.yaml", list)]

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, one per epoch, up to the first unreadable one, with today's names of metrics."""
        return [self._of_today(row) for row in MetricsFile(self.files.metrics).rows()]

    @cached_property
    def started(self) -> datetime:
        """When it first started."""
        try:
            return datetime.fromisoformat(self.environment["time"]).astimezone()
        except (KeyError, ValueError, OverflowError, OSError):  # the last two for years that no clock has
            return datetime.fromtimestamp(self.folder.stat().st_mtime).astimezone()

    @cached_property
    def state(self) -> str:
        """One of STATES."""
        if is_running(self.folder):
            return "running"
        if not self.environment and self.files.environment.exists():
            return "damaged"
        if not self.summary:  # it was killed
            return "damaged" if self.files.summary.exists() else "interrupted"
        return self.summary["status"] if self.summary.get("status") in STATES else "damaged"

    @property
    def has_started(self) -> bool:
        """Whether it got far enough to record its config."""
        return self.files.config.is_file()

    @property
    def names(self) -> dict[str, str]:
        """The chosen options, such as model -> resnet."""
        return self.environment.get("names") or self.summary.get("names", {})

    @property
    def seconds(self) -> float | None:
        """Seconds of training."""
        return float(self.summary["train_s"]) if "train_s" in self.summary else None

    def metrics(self, split: str) -> dict[str, float]:
        """Return the metrics of `best` (validation, in the best epoch) or `test`."""
        return {name: float(value) for name, value in self.summary.get(split, {}).items()}

    def metric(self, split: str, name: str | None = None) -> float | None:
        """Return one metric, by default the monitored one, if it was measured."""
        return self.metrics(split).get(name or str(self.summary.get("monitor")))

    @property
    def objective(self) -> float:
        """The monitored validation metric of the best epoch, signed so that larger is better; NaN if missing."""
        value = self.metric("best")
        return math.nan if value is None else value if self.summary.get("higher_is_better") else -value


def _yaml(path: Path, kind: type) -> Any:
    try:
        content = read_yaml(path)
        if not isinstance(content, kind):
            raise ValueError(f"expected a {kind.__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    return content
