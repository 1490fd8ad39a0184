"""A trained model with everything needed to use it, loaded from its run folder alone."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from trainer.build import parts
from trainer.build.training import metrics
from trainer.config.keys import PATHS, literal, literals
from trainer.config.schema import MISSING, Config
from trainer.config.user_modules import allow_all, chosen_by
from trainer.data import description
from trainer.data._image.encoder import ImageEncoder
from trainer.data.tensors import BatchLoader, DataSpec, Examples, TensorLoader
from trainer.engine.loop import Loss, full
from trainer.engine.meter import Meter
from trainer.engine.numerics import choose_precision, seed_everything, settle_memory
from trainer.errors import CheckpointError, ConfigError
from trainer.files import expanded
from trainer.runs import checkpoints
from trainer.runs.folds import folds_of
from trainer.runs.index import Run, find
from trainer.runs.resume import from_elsewhere
from trainer.runs.trust import stranger

LONGEST_NAME = 100


@dataclass(frozen=True)
class Trained:
    """The model, loss and meter that the run was tested with; `description` is its data.json."""

    folder: Path
    cfg: DictConfig
    spec: DataSpec
    model: nn.Module
    loss: Loss
    meter: Meter
    device: torch.device
    autocast: AbstractContextManager
    description: bytes
    class_counts: tuple[int, ...]
    summary: dict[str, Any]
    notes: list[str]

    @property
    def name(self) -> str:
        """Name of the run, such as `simple_cnn-mnist`; it is one for a file too."""
        names = self.summary.get("names", {})
        name = f"{names.get('model')}-{names.get('data')}"
        return name if re.fullmatch(r"[\w-]+", name) and len(name) < LONGEST_NAME else "model"

    def prepare(self) -> Callable[[Tensor], Tensor]:
        """Return the function that turns a stored batch into the model's input."""
        encoder = self.spec.encoder
        plain = encoder.prepare if isinstance(encoder, ImageEncoder) else (lambda inputs: inputs)
        return parts.layout(self.cfg, self.spec, plain)

    def loader(self, examples: Examples, kind: Callable[..., BatchLoader] = TensorLoader) -> BatchLoader:
        """Return a loader of other examples, encoded like the training data."""
        if self.cfg.precision == "fp64":
            examples = parts.in_double(examples)
        return kind(examples, parts.eval_size(self.spec, 1), prepare=self.prepare(), device=self.device)

    @torch.no_grad()
    def outputs(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield, for stored batches, probabilities `(B, K)` of all classes, or values `(B,)` in their units."""
        prepare = self.prepare()
        for batch in batches:
            with self.autocast:
                outputs = self.model(prepare(batch.to(self.device)))
            yield self.spec.predicted(full(outputs).cpu())


def load(run: str, device: str = "", *, trust: bool = False) -> Trained:
    """Load the best weights of a run: a folder, `last`, or `best` of a sweep. `device` defaults to the run's own.

    Of cross-validation, the model is the mean of those of all folds. `trust` allows a stranger's run to name modules of
    the working folder.

    Raises:
        CheckpointError: there is no such run, or its files are missing, damaged or from another version.
        ConfigError: its model cannot be built here, or the device does not exist.
    """
    settle_memory()
    if folds := folds_of(run):
        from trainer.trained.ensemble import joined

        return joined([load_one(job.folder, device, trust=trust) for job in folds.jobs], folds.folder)
    return load_one(find(run), device, trust=trust)


def load_one(folder: Path, device: str = "", *, trust: bool = False) -> Trained:
    """Load the best weights of the run in a folder; see `load`."""
    found = Run(folder)
    cfg = config_of(found.folder)
    with chosen_by(None if trust else stranger(found.folder)):
        allow_all(cfg)
    store = checkpoints.Store(found.files.checkpoints)
    saved = store.read("best")
    if not saved.data:
        raise CheckpointError(
            f"{store.folder / 'best'}: has no data.json, which describes the data: an older version wrote it; "
            "train the model again"
        )
    try:
        described = description.loads(saved.data)
    except ValueError as error:
        raise CheckpointError(f"{store.folder / 'best' / 'data.json'}: {error}") from error
    spec, where = described.spec, parts.device(device or cfg.device)
    notes = []
    try:
        choose_precision(cfg.precision, where)
    except ConfigError:
        notes = [f"precision fp32 instead of the run's {cfg.precision}, which {where.type} does not support"]
        cfg.precision = "fp32"
    autocast, _ = choose_precision(cfg.precision, where)
    seed_everything(cfg.seed, cfg.deterministic)
    with from_elsewhere(found):
        model = parts.model(cfg, spec, blank(cfg, spec).to(where))
    checkpoints.load_weights(model, saved.weights["model"], store.folder / "best")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in model.parameters()):
        raise CheckpointError(f"{store.folder / 'best'}: a weight is not finite, and predictions would not be either")
    targets = described.targets().to(where)
    with from_elsewhere(found):
        loss = parts.loss(cfg, spec, targets.double() if cfg.precision == "fp64" and targets.ndim == 2 else targets)
    _, meter, _ = metrics(cfg, spec, found.f1)
    built = model.eval(), loss, meter, where, autocast
    now = description.written(described)  # of an older run, with what was added since
    return Trained(found.folder, cfg, spec, *built, now, described.class_counts, found.summary, notes)


def config_of(folder: Path) -> DictConfig:
    """Read a run's config as plain data; relative paths are resolved from the folder it was started in.

    Raises:
        CheckpointError: it cannot be read.
    """
    run = Run(folder)
    try:
        cfg: Any = OmegaConf.merge(OmegaConf.structured(Config), literals(run.config))
    except (OmegaConfBaseException, ValueError) as error:
        raise CheckpointError(f"{run.files.config}: cannot be read: {' '.join(str(error).split())}") from error
    started_in = Path(str(run.latest.get("folder", "")))
    for key in PATHS:
        path = OmegaConf.select(cfg, key)
        if isinstance(path, str) and path != MISSING and started_in.is_dir():
            OmegaConf.update(cfg, key, literal(str(started_in / expanded(path))))
    return cfg


def blank(cfg: DictConfig, spec: DataSpec) -> Tensor:
    """Return two blank examples in the model's input format."""
    zeros = torch.zeros(2, *spec.in_shape, dtype=torch.int64 if spec.kind == "tokens" else None)
    return parts.layout(cfg, spec, lambda inputs: inputs)(zeros)
