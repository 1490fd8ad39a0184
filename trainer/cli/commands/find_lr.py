"""`dltrain find-lr`: the learning-rate range test of a run's config, with a picture and a suggestion."""

import csv
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.cli.settings import Setting, Settings, Usage
from trainer.config.keys import without
from trainer.config.schema import names_of
from trainer.errors import ConfigError, NumericalError
from trainer.runs.index import new_folder

if TYPE_CHECKING:
    from trainer.engine.lr_range import Curve

POSITIVE: dict[str, Any] = {"expected": "a number above 0", "fits": lambda value: 0 < value < math.inf}
USAGE = Usage(
    settings={
        "lowest": Setting("learning rate of the first update", "1e-7", **POSITIVE),
        "highest": Setting("learning rate of the last update, unless the loss diverges earlier", "10", **POSITIVE),
        "steps": Setting("number of updates", "100", **POSITIVE),
    },
    examples=(
        "dltrain find-lr model=mlp data=boston       any keys of a run; optim.lr is ignored",
        "dltrain find-lr model=resnet data=mnist optim=sgd steps=200",
    ),
    overrides=True,
)
FEWEST_STEPS = 30  # fewer give no smooth slope


def main(given: Settings) -> None:
    """Print the suggestion, and write lr_range.png and lr_range.csv."""
    lowest, highest, steps = (float(given.values[key]) for key in USAGE.settings)
    if not (lowest < highest and steps >= FEWEST_STEPS and steps == int(steps)):
        raise ConfigError(
            f"dltrain find-lr: lowest={lowest:g} highest={highest:g} steps={steps:g}: expected lowest below highest, "
            f"and a whole number of at least {FEWEST_STEPS} steps"
        )
    from trainer.build import parts
    from trainer.build.update import FULL_BATCH, update
    from trainer.cli.shorthand import spelled_out
    from trainer.config.check import checked
    from trainer.engine.lr_range import range_test

    cfg, _ = checked(*spelled_out(given.overrides, given.config_dir))
    made, names = parts.assemble(cfg), names_of(cfg.hydra)
    changes = update(cfg, made.model, int(steps), made.scaler)
    optimizer = changes.optimizer
    if changes.reevaluates or isinstance(optimizer, FULL_BATCH) or "lr" not in optimizer.param_groups[0]:
        raise ConfigError(
            f"optim: {type(optimizer).__name__} chooses its own step length; find-lr needs an optimizer that does not, "
            "such as optim=adam"
        )
    parts_of_test = made.model, made.loss, made.data.train, changes
    curve = range_test(*parts_of_test, autocast=made.autocast, lowest=lowest, highest=highest, steps=int(steps))
    if len(curve.lrs) < 2:
        raise NumericalError(
            f"the loss is not finite at the lowest learning rate, {lowest:g}; try lowest={lowest / 1e3:g}"
        )
    _report(curve, names, given, new_folder(f"find-lr-{names['model']}-{names['data']}"))


def _report(curve: "Curve", names: dict[str, str], given: Settings, folder: Path) -> None:
    from trainer.view.plots.curves import lr_picture
    from trainer.view.words import shown

    suggestions = curve.suggestions()
    what = f"{names['model']} on {names['data']}, {names['optim']}"
    print(f"{what}: {len(curve.lrs)} updates with learning rates from {curve.lrs[0]:.2g} to {curve.lrs[-1]:.2g}")
    for name, index in suggestions.items():
        print(f"{name:<14} optim.lr={curve.lrs[index]:.2g}")
    if suggestions:
        best = curve.lrs[next(iter(suggestions.values()))]
        directory = [f"--config-dir={given.config_dir}"] if given.config_dir else []
        command = ["dltrain", *directory, *without(given.overrides, "optim.lr"), f"optim.lr={best:.2g}"]
        print(f"train with it  {shlex.join(command)}")
    else:
        print("no suggestion: the loss never falls; try another highest=, or steps=300")
    with (folder / "lr_range.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("lr", "loss", "smoothed"), *zip(*curve, strict=True)])
    lr_picture(curve, suggestions, f"learning-rate range test: {what}", folder / "lr_range.png")
    print(f"picture        {shown(folder / 'lr_range.png')}")
