"""Train, sweep and predict from Python: `trainer.train`, `trainer.sweep` and `trainer.load`.

They do what the command line does, with the same bits, and leave the process as they found it. Nothing is imported
before it is used.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import errors
from trainer.config.keys import flat, key_of, key_values, quoted
from trainer.errors import ConfigError, naming
from trainer.files import write_text
from trainer.runs import index

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from trainer.trained.frames import Inputs
    from trainer.trained.model import Trained

__all__ = ["Model", "Run", "errors", "load", "sweep", "train"]

FLAGS = r"(--config-(dir|name)|-c[dn])(=.*|$)"
VALUES = r"[\w.+-]*|[\[{'\"].*|.*\$\{.*"  # text that the command line reads as a number, list, dictionary or reference


@dataclass(frozen=True)
class Run:
    """A run, as recorded in its folder."""

    folder: Path

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics of the best weights on the validation and the test split, and those of a baseline there."""
        run = index.Run(self.folder)
        return {"val": run.metrics("best"), "test": run.metrics("test"), "baseline": run.metrics("baseline")}

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch: epoch, step, seconds, lr, and each metric of `train/` and `val/`."""
        import pandas as pd

        return pd.DataFrame(index.Run(self.folder).history).astype({"epoch": int, "step": int}, errors="ignore")

    @property
    def figures(self) -> dict[str, Path]:
        """The PNG files of its pictures, by name, such as `curves`."""
        return {path.stem: path for path in sorted(index.Run(self.folder).files.plots.glob("*.png"))}


@dataclass(frozen=True)
class Model:
    """A trained model, with its best weights."""

    trained: Trained

    @property
    def module(self) -> nn.Module:
        """The torch module, in evaluation mode; it takes encoded inputs and returns logits or standardised values."""
        return self.trained.model

    @property
    def folder(self) -> Path:
        """The folder of its run."""
        return self.trained.folder

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits; empty for a regression."""
        return self.trained.spec.classes

    def predict(self, inputs: Inputs) -> pd.DataFrame:
        """Return a row per input: `prediction` and, for classes, the `probability` of each; see `frames.predict`.

        Raises:
            DataError: inputs that the model cannot read.
        """
        from trainer.engine.undisturbed import undisturbed
        from trainer.trained.frames import predict

        with undisturbed():
            return predict(self.trained, inputs)


def train(*words: str, **settings: Any) -> Run:
    """Train as `dltrain WORDS` does, or resume, and return the run.

    A keyword is a setting: `epochs=5`, `optim={"lr": 0.1}`, `target="Survived"`; `data` may be a DataFrame, which is
    saved as a CSV file below `outputs/`. What a run prints goes to standard output.

    Raises:
        DltrainError: what the command line would report, with its message.
        KeyboardInterrupt: Ctrl-C, once the run is saved.
    """
    from trainer.cli.start import start
    from trainer.engine.undisturbed import undisturbed

    with undisturbed():
        flags, command = _understood(words, settings)
        if {"folds", "fold"} & {*(given := key_values(flags.overrides))} == {"folds"} and given["folds"] != "1":
            raise ConfigError("folds= are several runs; trainer.sweep trains them and returns their table")
        if not (folder := start(flags, command)):
            raise ConfigError("dry_run: one batch went through everything, and there is no run to return")
        return Run(folder.absolute())


def sweep(*words: str, **settings: Any) -> pd.DataFrame:
    """Run a sweep as `dltrain -m WORDS` does, or resume one, and return its leaderboard, best first.

    In text, a comma separates the values to try: `seed="1,2,3"`. Otherwise like `train`.

    Raises:
        DltrainError: what the command line would report; a SweepError if a job failed.
        KeyboardInterrupt: Ctrl-C, once the jobs are saved.
    """
    import pandas as pd

    from trainer.engine.undisturbed import undisturbed
    from trainer.sweeps.sweep import sweep
    from trainer.view.sweep import files

    with undisturbed():
        flags, command = _understood(words, settings, "-m")
        if not (folder := sweep(flags, command)):
            raise ConfigError("dry_run: a few batches went through every model, and there is no leaderboard to return")
        return pd.read_csv(folder / files.CSV, keep_default_na=False, na_values=[""])


def load(run: Run | str | Path = "last", *, device: str = "", trust: bool = False) -> Model:
    """Load the best weights of a run: itself, its folder, `last`, or `best` of the last sweep.

    `device` is by default the run's. `trust` allows a stranger's run to name modules of the working folder.

    Raises:
        CheckpointError: there is no such run, or its files are missing or damaged.
        ConfigError: its model cannot be built here, or the device does not exist.
    """
    from trainer.engine.undisturbed import undisturbed
    from trainer.trained.model import load

    with undisturbed():
        model = load(str(run.folder if isinstance(run, Run) else run), device, trust=trust)
    print(*(f"note   {note}" for note in model.notes), sep="\n", end="\n" if model.notes else "")
    return Model(model)


def _understood(words: Sequence[str], settings: Mapping[str, Any], *first: str) -> tuple[Namespace, list[str]]:
    """Return the flags of the command line that is meant, and what to record of it."""
    from trainer.cli.start import understood

    for word in words:
        if not isinstance(word, str):
            raise ConfigError(f"{word!r:.80}: expected text such as 'model=mlp'; a DataFrame is passed as data=")
        if re.match(r"-\w|--", word) and not re.match(FLAGS, word):
            raise ConfigError(f"{word}: of the flags, only --config-dir and --config-name have a meaning here")
    flags, command, is_shorthand = understood([*first, *words, *_lines(settings, has_choices=bool(first))])
    named = [line for line in flags.overrides if key_of(line) in ("data", "data.path")]
    if hasattr(settings.get("data"), "columns") and len(named) > 2:
        raise ConfigError(f"{named[0]}: the DataFrame in data= is all the data of a run; leave one of the two out")
    if is_shorthand:
        print(f"means  dltrain {shlex.join(command)}")
    return flags, command


def _lines(settings: Mapping[str, Any], has_choices: bool) -> list[str]:
    """Return settings as overrides; with choices, the commas of a text separate them."""
    given = {key: _saved(value) if hasattr(value, "columns") else value for key, value in settings.items()}
    return [f"{key}={_text(key, value, has_choices)}" for key, value in flat(given).items()]


def _text(key: str, value: Any, has_choices: bool) -> str:
    """Return a value in Hydra's grammar."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy or torch
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Path):
        return quoted(str(value))
    if isinstance(value, str):
        return value if has_choices or re.fullmatch(VALUES, value, re.DOTALL) else quoted(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_text(key, each, has_choices=False) for each in value)}]"
    raise ConfigError(
        f"{key}={value!r:.80}: expected text, a number, a boolean, None, a list, or a dictionary of these"
    )


def _saved(frame: pd.DataFrame) -> str:
    """Write a frame where resuming, evaluating and other processes find it, named by its content; return the path.

    Raises:
        ConfigError: its columns have several levels of names.
    """
    if frame.columns.nlevels > 1:
        raise ConfigError("data: a DataFrame whose columns have several levels of names; give each column one name")
    rows = frame.convert_dtypes().to_csv(index=False)  # whole numbers beside missing ones stay whole
    path = index.ROOT / "frames" / f"{hashlib.sha256(rows.encode()).hexdigest()[:12]}.csv"
    if not path.exists():
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, rows)
    print(f"frame  {len(frame):,} rows, without their index, are in {path}")
    return str(path)
