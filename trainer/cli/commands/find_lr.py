"""The learning-rate range test of a run's config, with its picture and a suggestion."""

from __future__ import annotations

import csv
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from trainer.cli.parts import chosen, new_folder
from trainer.cli.settings import Setting, Settings, help_of, settings
from trainer.errors import ConfigError, NumericalError

if TYPE_CHECKING:
    from trainer.engine.lr_range import Curve
    from trainer.engine.update import Update

ABOUT = "train while the learning rate rises, and suggest one by how the loss falls"
KNOWN = {
    "lowest": Setting("learning rate of the first update", "1e-7"),
    "highest": Setting("learning rate of the last, unless the loss has risen too far before", "10"),
    "steps": Setting("updates from the one to the other", "100"),
}
EXAMPLES = (
    "dltrain find-lr model=mlp data=boston       any keys of a run; optim.lr is what is looked for",
    "dltrain find-lr model=resnet data=mnist optim=sgd steps=200",
)
FEWEST_STEPS = 30  # a smoothed curve of fewer has no slope


def main(arguments: list[str]) -> None:
    """Print the suggestion, and leave lr_range.png and lr_range.csv.

    Raises:
        DltrainError: whatever the user can mend.
    """
    if {"-h", "--help"} & set(arguments):
        print(help_of("find-lr", ABOUT, KNOWN, EXAMPLES))
        return
    given = settings("find-lr", KNOWN, arguments, overrides=True)
    lowest, highest, steps = (_number(given, key) for key in KNOWN)
    if not (lowest < highest and steps >= FEWEST_STEPS and steps == int(steps)):
        raise ConfigError(
            f"dltrain find-lr: lowest={lowest:g} highest={highest:g} steps={steps:g}: expected lowest below highest, "
            f"and a whole number of at least {FEWEST_STEPS} steps"
        )
    cfg, names = chosen(given)
    curve = measure(cfg, lowest, highest, int(steps))
    if len(curve.lrs) < 2:
        raise NumericalError(
            f"the loss is no number at lr {lowest:g} already; look for it from lowest={lowest / 1e3:g}"
        )
    _report(curve, names, given, new_folder("find-lr", names))


def measure(cfg: DictConfig, lowest: float, highest: float, steps: int) -> Curve:
    """Run the test with all that the config says, but for the learning rate and its schedule."""
    from trainer.build import parts
    from trainer.build import update as build_update
    from trainer.engine import memory
    from trainer.engine.lr_range import range_test
    from trainer.engine.numerics import choose_precision
    from trainer.engine.randomness import seed_everything

    memory.keep()
    parts.check(cfg)
    device = parts.device(cfg.device)
    autocast, scaler = choose_precision(cfg.precision, device)
    seed_everything(cfg.seed, cfg.deterministic)
    data, spec = parts.data(cfg, device)
    model = parts.model(cfg, spec, next(iter(data.train))[0][:2])
    loss = parts.loss(cfg, spec, data.train.targets)
    update = build_update.update(cfg, model, steps, scaler)
    _check_optimizer(update)
    return range_test(model, loss, data.train, update, autocast=autocast, lowest=lowest, highest=highest, steps=steps)


def _check_optimizer(update: Update) -> None:
    """Refuse an optimizer whose steps are not as long as the rate says."""
    from trainer.build.update import FULL_BATCH

    name = type(update.optimizer).__name__
    if update.reevaluates or isinstance(update.optimizer, FULL_BATCH) or "lr" not in update.optimizer.param_groups[0]:
        raise ConfigError(f"optim: {name} finds the length of its steps by itself; find-lr is for others: optim=adam")


def _report(curve: Curve, names: dict[str, str], given: Settings, folder: Path) -> None:
    """Print what was found, and write the files."""
    from trainer.view.console import shown
    from trainer.view.lr_picture import lr_picture

    suggestions = curve.suggestions()
    what = f"{names['model']} on {names['data']}, {names['optim']}"
    print(f"{what}: {len(curve.lrs)} updates with learning rates from {curve.lrs[0]:.2g} to {curve.lrs[-1]:.2g}")
    for name, index in suggestions.items():
        print(f"{name:<14} optim.lr={curve.lrs[index]:.2g}")
    if suggestions:
        best = next(iter(suggestions.values()))
        print(f"train with it  {_command(given, curve.lrs[best])}")
    else:
        print("no suggestion: the loss does not fall anywhere; try another highest=, or steps=300")
    with (folder / "lr_range.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("lr", "loss", "smoothed"), *zip(*curve, strict=True)])
    lr_picture(curve, suggestions, f"learning-rate range test: {what}", folder / "lr_range.png")
    print(f"picture        {shown(folder / 'lr_range.png')}")


def _command(given: Settings, lr: float) -> str:
    """The command line that trains with this rate, ready to be copied."""
    others = [line for line in given.overrides if line.split("=")[0].lstrip("+") != "optim.lr"]
    directory = [f"--config-dir={given.config_dir}"] if given.config_dir else []
    return shlex.join(["dltrain", *directory, *others, f"optim.lr={lr:.2g}"])


def _number(given: Settings, key: str) -> float:
    try:
        value = float(given.values[key])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ConfigError(f"dltrain find-lr: {key}={given.values[key]}: expected a number above 0")
    return value
