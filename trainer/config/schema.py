"""Every top-level knob of a run with its type, unit, range and neutral value, and the groups of components.

Only the standard library is imported here, so that help does not wait for Hydra.
"""

import math
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from trainer.config.keys import SLOTS
from trainer.files import read

MISSING: Any = "???"  # OmegaConf's mark of a required value
FITTING = {"features": "mlp", "image": "simple_cnn", "tokens": "gru"}  # kind of example -> a model that reads it
LARGEST = 2**31 - 1  # whole number
GROUPS = (*SLOTS, "experiment")
_HERE = Path(__file__).parent.parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"  # in a wheel, or in a checkout


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
    """Return a field for a top-level key: neutral value, meaning with unit, and range, less the ends in `never`.

    `whole` marks a count that is a float because it may be infinite.
    """
    rule = {"about": about, "least": least, "most": most, "never": never, "whole": whole, "choices": choices}
    return field(default=default, metadata=rule)


@dataclass
class CheckpointConfig:
    """How often a run is saved within an epoch; the end of each epoch is a checkpoint too."""

    every_minutes: float = knob(10.0, "save within an epoch after this many minutes", least=0, never=(0,))
    every_steps: float = knob(math.inf, "save within an epoch after this many updates", least=1, whole=True)
    min_seconds: float = knob(1.0, "save at the end of an epoch if the last save is this many seconds old", least=0)
    keep: int = knob(1, "checkpoints to keep besides the last and the best", least=0)


@dataclass
class AugmentConfig:
    """Random changes to training batches, drawn from seed, epoch and batch; 0 is off. See trainer/data/augment.py."""

    shift: int = knob(0, "images: maximum shift in pixels, in each direction", least=0)
    flip: float = knob(0.0, "images: probability of a horizontal flip", least=0, most=1)
    crop: float = knob(0.0, "images: maximum share of each side to crop", least=0, most=1, never=(1,))
    rotation: float = knob(0.0, "images: maximum rotation in degrees, either way", least=0, most=360)
    noise: float = knob(0.0, "standard deviation of Gaussian noise on the standardised inputs", least=0, most=1000)
    cutout: int = knob(0, "images: side in pixels of a square to blank", least=0)
    mixup: float = knob(0.0, "alpha of the Beta distribution of the mixing weights", least=0, most=1000)


@dataclass
class SweepConfig:
    """How the jobs of a sweep (-m) are run."""

    fail_fast: bool = knob(False, "start no more jobs after one has failed")
    retry: bool = knob(False, "with resume=: rerun failed jobs")
    prune: Any = knob(
        "off", "stop unpromising jobs early; see docs/guide/sweeps.md", choices=("halving", "median", "off")
    )
    jobs: Any = knob(1, "jobs to run at a time, each in a process; auto: one per GPU or core", least=1, whole=True)
    factor: int = knob(2, "halving: keep one configuration in this many at each rung", least=2)


@dataclass
class Config:
    """Every top-level key. `inf` and 0 turn a knob off where its line says so."""

    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optim: Any = MISSING
    scheduler: Any = MISSING
    epochs: int = knob(10, "passes over the training split", least=1)
    max_steps: float = knob(math.inf, "stop after this many updates of the weights", least=1, whole=True)
    max_minutes: float = knob(math.inf, "stop after this many minutes of training", least=0)
    monitor: str = knob("auto", "validation metric that picks the best epoch; auto: accuracy or rmse")
    metrics: Any = knob("auto", "metrics to report, such as [auto,mcc,mymodule.myfunction]; auto: those of the task")
    calibrate: str = knob(
        "off", "classes: divide logits by a temperature fitted to the validation split", choices=("temperature", "off")
    )
    threshold: Any = knob(
        0.5,
        "two classes: probability above which the second is predicted; auto: the best on the validation split",
        least=0,
        most=1,
        never=(0, 1),
    )
    miss_cost: float = knob(
        0.0, "with threshold=auto: cost of a missed second class relative to a false alarm; 0: the best f1", least=0
    )
    patience: float = knob(math.inf, "stop after this many epochs without improvement", least=1, whole=True)
    precision: str = knob("fp32", "number format of the forward pass", choices=("fp64", "fp32", "tf32", "bf16", "fp16"))
    device: str = knob("auto", "auto, cpu, cuda, cuda:1 or mps")
    accumulate: int = knob(1, "batches per update", least=1)
    clip: float = knob(math.inf, "maximum Euclidean norm of the gradient; inf: no clipping", least=0, never=(0,))
    ema: float = knob(0.0, "decay of the moving weight average to evaluate; 0: none", least=0, most=1, never=(1,))
    compile: bool = knob(False, "run an update as one graph: a CUDA graph, or torch.compile's")
    channels_last: Any = knob(
        "auto", "store images channels-last; auto: only in 16-bit precision", choices=("auto", "true", "false")
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = knob(0, "seed of initial weights, splits and shuffling", least=0, most=LARGEST)
    split_seed: Any = knob(None, "seed of the splits alone; null: the same as seed", least=0, most=LARGEST, whole=True)
    folds: int = knob(1, "cross-validation: number of folds, each the test split of one run; 1: none", least=1)
    repeats: int = knob(1, "cross-validation: number of random divisions into folds", least=1)
    fold: int = knob(0, "with folds: train only this one, from 1; 0: all, as a sweep", least=0)
    deterministic: bool = knob(False, "use bit-reproducible algorithms only; slower on CUDA")
    plots: Any = knob("auto", "pictures to draw at the end: all, off or a list; auto: all, but none in a sweep")
    baselines: Any = knob("auto", "models fitted in seconds to compare with at the end", choices=("auto", "off"))
    tensorboard: Any = knob("full", "what to write for TensorBoard", choices=("full", "basic", "off"))
    log_every: int = knob(50, "updates per point in TensorBoard", least=1)
    limit_batches: float = knob(math.inf, "batches of each split to use per epoch", least=1, whole=True)
    overfit_batches: int = knob(0, "train, validate and test on the same few batches; 0: off", least=0)
    resume: Any = knob(None, "run folder to resume, or last; auto: the unfinished run with this config, or a new one")
    changed_data: str = knob("refuse", "with resume=: what to do if the data has changed", choices=("refuse", "use"))
    trust: bool = knob(False, "import modules of the working folder that an outside config or a stranger's run names")
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    dry_run: bool = knob(False, "run one batch through everything, leave no files")


KNOBS = {f.name: f for f in fields(Config) if f.metadata}
for name, nested in (("augment", AugmentConfig), ("checkpoint", CheckpointConfig), ("sweep", SweepConfig)):
    KNOBS |= {f"{name}.{f.name}": f for f in fields(nested)}


def names_of(hydra: Any) -> dict[str, str]:
    """Map each slot to the option chosen for it, such as model -> resnet; `hydra` is Hydra's node of a config."""
    return {slot: str(hydra.runtime.choices[slot]) for slot in SLOTS}


def groups(config_dir: str | None = None) -> dict[str, dict[str, str]]:
    """Map group and option to the first comment of its file, built-in files first, then those in `config_dir`."""
    own = _options(Path(config_dir)) if config_dir else {}
    return {group: found | own.get(group, {}) for group, found in _built_in().items()}


@cache
def _built_in() -> dict[str, dict[str, str]]:
    return _options(CONF)


def _options(root: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    for group, options in found.items():
        for file in sorted((root / group).glob("*.yaml")):
            if not file.is_file():
                continue  # nor does Hydra list it
            lines = read(file).decode(errors="replace").splitlines()
            comments = (line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line)
            options[file.stem] = next(comments, "")
    return found
