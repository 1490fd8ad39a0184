"""Every command line in the README and the guide is valid."""

import importlib
import shlex
from pathlib import Path

import pytest

from trainer.cli.commands import COMMANDS
from trainer.config.axes import sweep_axes, sweep_samples
from trainer.config.check import checked
from trainer.config.command_line import parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OWN = {"model": ("mynet", "trainer.models.mlp.MLP\nwidth: 1"), "loss": ("log_cosh", "trainer.losses.mse")}


def lines():
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True) if line.startswith("    dltrain ") else []
            if len(words) > 1 and "…" not in line and words[1] != "0.1.0,":
                yield pytest.param(words[1:], id=" ".join(words[1:]))


@pytest.mark.parametrize("words", [*lines()])
def test_a_command_line_in_the_docs_composes(words, tmp_path):
    for group, (name, target) in OWN.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(f"_target_: {target}\n")
    if words[0] in COMMANDS:
        assert importlib.import_module(f"trainer.cli.commands.{COMMANDS[words[0]][0]}").main
        return
    flags = parse(words)
    if flags.help:
        return
    if flags.multirun and "resume=last" in flags.overrides:
        flags.overrides += ["hydra/sweeper=optuna"]  # like the sweep that the guide resumes
    folder = str(tmp_path) if flags.config_dir else None
    for sample in sweep_samples(sweep_axes(flags.overrides, folder)) if flags.multirun else [flags.overrides]:
        checked(sample, folder)
