"""Every command line in the README and the guide is valid."""

import importlib
import shlex
from pathlib import Path

import pytest

from trainer.cli.commands import COMMANDS
from trainer.cli.shorthand import spelled_out
from trainer.config.axes import sweep_axes, sweep_samples
from trainer.config.check import checked
from trainer.config.command_line import parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OWN = {
    "model": ("mynet", "trainer.models.mlp.MLP\nwidth: 1"),
    "loss": ("log_cosh", "trainer.losses.mse"),
    "data": ("visits", "trainer.data.tabular.iris\nbatch_size: 64"),
}
TABLES = {"houses.csv": "price,rooms\n1,2\n", "titanic.csv": "Survived,Age\n1,2\n"}
TABLES |= dict.fromkeys(("visits.csv", "study.csv"), "ill,patient,part\n1,a,train\n")
TABLES |= {"sales.csv": "amount,date\n1,2024-01-31\n"}
TABLES |= dict.fromkeys(("reviews.csv", "reviews.tsv"), "text,label\nwhat a joy to see,1\n")


def lines():
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True) if line.startswith("    dltrain ") else []
            if len(words) > 1 and "…" not in line and words[1] != "0.1.0,":
                yield pytest.param(words[1:], id=" ".join(words[1:]))


@pytest.mark.parametrize("words", [*lines()])
def test_a_command_line_in_the_docs_composes(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for group, (name, target) in OWN.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(f"_target_: {target}\n")
    for name, content in TABLES.items():
        (tmp_path / name).write_text(content)
    for name in ("photos/cat", "photos/dog"):
        (tmp_path / name).mkdir(parents=True)
    if words[0] in COMMANDS:
        assert importlib.import_module(f"trainer.cli.commands.{COMMANDS[words[0]][0]}").main
        return
    flags = parse(words)
    if flags.help:
        return
    flags.overrides, folder = spelled_out(flags.overrides, flags.config_dir)
    if flags.multirun and "resume=last" in flags.overrides:
        flags.overrides += ["hydra/sweeper=optuna"]  # like the sweep that the guide resumes
    for sample in sweep_samples(sweep_axes(flags.overrides, folder)) if flags.multirun else [flags.overrides]:
        checked(sample, folder)
