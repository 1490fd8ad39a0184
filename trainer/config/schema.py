"""What a run can be told: every top-level knob with its type, unit, range and neutral value, and the groups of parts.

Only the standard library is imported here: help does not wait for Hydra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from trainer.config.keys import SLOTS

MISSING: Any = "???"  # as OmegaConf marks what has to be given
_HERE = Path(__file__).parent.parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"  # in a wheel, in a checkout


def knob(
    default: Any,
    about: str,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    never: tuple[float, ...] = (),
    whole: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """A top-level key: its neutral value, what it does with its unit, and its range, less the ends in `never`.

    `whole` is for a count that may also be infinite, and is a float for that reason.
    """
    rule = {"about": about, "least": least, "most": most, "never": never, "whole": whole, "choices": choices}
    return field(default=default, metadata=rule)


@dataclass
class CheckpointConfig:
    """How often the state of a run is saved. The end of an epoch is a moment to save, in any case."""

    every_minutes: float = knob(10.0, "save within an epoch too, after so many minutes", least=0, never=(0,))
    every_steps: float = knob(math.inf, "save within an epoch too, after so many updates", least=1, whole=True)
    min_seconds: float = knob(1.0, "epochs that end sooner after a checkpoint wait for the next", least=0)
    keep: int = knob(1, "checkpoints to keep beside the last and the best", least=0)


@dataclass
class AugmentConfig:
    """Random changes of training batches, drawn from seed, epoch and batch; 0 is off. See trainer/data/augment.py."""

    shift: int = knob(0, "images: up to so many pixels in each direction", least=0)
    flip: float = knob(0.0, "images: probability of a mirror image, left to right", least=0, most=1)
    crop: float = knob(0.0, "images: up to this share of the sides is cut away", least=0, most=1, never=(1,))
    rotation: float = knob(0.0, "images: up to so many degrees either way", least=0)
    noise: float = knob(0.0, "standard deviation of Gaussian noise, in units of the standardised inputs", least=0)
    cutout: int = knob(0, "images: side in pixels of a square without content", least=0)
    mixup: float = knob(0.0, "alpha of the Beta distribution of shares of two examples that are mixed", least=0)


@dataclass
class SweepConfig:
    """How the jobs of a sweep (-m) are treated."""

    fail_fast: bool = knob(False, "begin no job of a sweep after one that failed")
    retry: bool = knob(False, "with resume=: run failed jobs of the sweep again")
    prune: Any = knob(
        "off", "stop hopeless jobs early; see trainer/sweep/pruning.py", choices=("halving", "median", "off")
    )
    jobs: Any = knob(1, "jobs at a time, each in a process; auto: one per GPU or core", least=1, whole=True)
    factor: int = knob(2, "halving: one configuration in so many goes on at each rung", least=2)


@dataclass
class Config:
    """Every top-level key. `inf` and 0 turn a knob off where its line says so."""

    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optim: Any = MISSING
    scheduler: Any = MISSING
    epochs: int = knob(10, "passes over the training split", least=1)
    max_steps: float = knob(math.inf, "stop after so many updates of the weights", least=1, whole=True)
    max_minutes: float = knob(math.inf, "stop after so many minutes of training", least=0)
    monitor: str = knob("auto", "validation metric that chooses the best epoch; auto: accuracy, or mse")
    metrics: Any = knob("auto", "list of metrics to report; auto: those of the task")
    patience: float = knob(
        math.inf, "stop after so many epochs in which the monitor got no better", least=1, whole=True
    )
    precision: str = knob("fp32", "number format of the forward pass", choices=("fp64", "fp32", "tf32", "bf16", "fp16"))
    device: str = knob("auto", "auto, cpu, cuda, cuda:1 or mps")
    accumulate: int = knob(1, "batches that make one update", least=1)
    clip: float = knob(math.inf, "longest gradient, as Euclidean norm; inf: no clipping", least=0, never=(0,))
    ema: float = knob(
        0.0,
        "decay of the average of the weights that is evaluated and kept; 0: none",
        least=0,
        most=1,
        never=(1,),
    )
    compile: bool = knob(False, "one graph of forward, backward and optimizer: a CUDA graph, or torch.compile's")
    channels_last: Any = knob(
        "auto", "channels of images last in memory; auto does that in 16 bits", choices=("auto", "true", "false")
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = knob(0, "of weights, splits and order", least=0, most=2**31 - 1)
    deterministic: bool = knob(False, "only algorithms that give the same bits every time; slower on CUDA")
    plots: Any = knob(
        "auto", "pictures at the end: all that fit, off, or a list of names; auto: all, of a sweep's jobs none"
    )
    tensorboard: Any = knob("full", "what is written for TensorBoard", choices=("full", "basic", "off"))
    log_every: int = knob(50, "updates between two points in TensorBoard", least=1)
    limit_batches: float = knob(math.inf, "use so many batches of each split an epoch", least=1, whole=True)
    overfit_batches: int = knob(0, "train, validate and test on the same so many batches; 0: off", least=0)
    resume: Any = knob(None, "a run folder, or last: go on with it; auto: with one of this config, or start one")
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    dry_run: bool = knob(False, "one batch through everything, leaving no files")


KNOBS = {f.name: f for f in fields(Config) if f.metadata}
for name, nested in (("augment", AugmentConfig), ("checkpoint", CheckpointConfig), ("sweep", SweepConfig)):
    KNOBS |= {f"{name}.{f.name}": f for f in fields(nested)}


def names_of(hydra: Any) -> dict[str, str]:
    """Map each slot to the option chosen for it, such as model -> resnet; `hydra` is Hydra's node of a config."""
    return {slot: str(hydra.runtime.choices[slot]) for slot in SLOTS}


def groups(config_dir: str | None = None) -> dict[str, dict[str, str]]:
    """Group -> option -> the first comment of its file, of the files that came along and those in `config_dir`."""
    found: dict[str, dict[str, str]] = {}
    for group in (*SLOTS, "experiment"):
        for root in [CONF, *([Path(config_dir)] if config_dir else [])]:
            for file in sorted((root / group).glob("*.yaml")):
                found.setdefault(group, {})[file.stem] = _first_comment(file)
    return found


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ")
    return ""
