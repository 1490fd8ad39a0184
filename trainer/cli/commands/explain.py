"""One batch forward and backward through a model: its graph as a table and as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from trainer.cli.parts import chosen, new_folder
from trainer.cli.settings import Setting, help_of, settings
from trainer.config.schema import SLOTS
from trainer.errors import ConfigError
from trainer.explain.node import Node
from trainer.runs import index
from trainer.runs.folder import read_json

ABOUT = "one batch forward and backward: each node, its value and its gradient"
KNOWN = {"run": Setting("a run folder, last or best: its model, with its best weights", "")}
EXAMPLES = (
    "dltrain explain model=mlp data=boston       any keys of a run",
    "dltrain explain 'model.hidden=[64,64,64,64,64,64,64,64]' model=mlp model.activation=sigmoid",
    "dltrain explain run=last",
)
MOST_EXAMPLES = 32  # of the batch: more change the numbers little
ROWS = 60  # of the table; larger graphs are folded


def main(arguments: list[str]) -> None:
    """Print the table with its legend, and draw graph.png.

    Raises:
        DltrainError: whatever the user can mend.
    """
    if {"-h", "--help"} & set(arguments):
        print(help_of("explain", ABOUT, KNOWN, EXAMPLES))
        return
    given = settings("explain", KNOWN, arguments, overrides=True)
    if not given.values["run"]:
        explain(*chosen(given))
    elif given.overrides:
        raise ConfigError(f"dltrain explain: run= has a config of its own; leave out {' '.join(given.overrides)}")
    else:
        from trainer.trained.model import config_of

        folder = index.find(given.values["run"])
        cfg = config_of(folder)
        explain(cfg, _names_of(folder, cfg), folder / "checkpoints")


def explain(cfg: DictConfig, names: dict[str, str], checkpoints: Path | None = None) -> None:
    """Explain the model of a config as it is at the start of a run or, with the checkpoints of one, at its best."""
    from trainer.build import parts
    from trainer.engine import memory
    from trainer.engine.numerics import choose_precision
    from trainer.engine.randomness import seed_everything
    from trainer.explain.marks import marked
    from trainer.explain.record import record
    from trainer.runs import checkpoints

    memory.keep()
    parts.check(cfg)
    device = parts.device(cfg.device)
    autocast, _ = choose_precision(cfg.precision, device)
    seed_everything(cfg.seed, cfg.deterministic)
    data, spec = parts.data(cfg, device)
    inputs, targets = (part[:MOST_EXAMPLES] for part in next(iter(data.train)))
    model = parts.model(cfg, spec, inputs[:2])
    loss = parts.loss(cfg, spec, data.train.targets)
    if checkpoints:
        best = checkpoints.Store(checkpoints).read("best")
        checkpoints.load_weights(model, best.weights["model"], checkpoints / "best")
    nodes = marked(record(model, loss, inputs, targets, autocast))
    _show(nodes, names, len(inputs))


def _show(nodes: list[Node], names: dict[str, str], num_examples: int) -> None:
    """Print the graph, folded if it is large, and draw it."""
    from trainer.explain.fold import folded
    from trainer.explain.table import graph_table, legend
    from trainer.view import style
    from trainer.view.console import Terminal, shown

    rows = folded(nodes, ROWS)
    what = f"{names['model']} on {names['data']}"
    print(f"{what}: {len(nodes)} nodes, in the order of the forward pass of {num_examples} training examples")
    if len(rows) < len(nodes):
        print(f"folded to {len(rows)}: a row is a module where it stands for several nodes, and shows the last of them")
    width = None if sys.stdout.isatty() else 120
    Terminal(highlight=False, markup=False, width=width).print(graph_table(rows))
    print(*legend(nodes), sep="\n")
    picture = new_folder("explain", names) / "graph.png"
    with style.look():  # before matplotlib is imported: it has things to say about fonts and homes
        from trainer.explain.picture import graph_picture

        graph_picture(rows, f"{what}\none batch, forward from top to bottom", picture)
    print(f"\npicture    {shown(picture)}")


def _names_of(folder: Path, cfg: DictConfig) -> dict[str, str]:
    """What was chosen for a run; of one that has not ended, what is called."""
    called = {slot: str(cfg[slot]["_target_"]).rpartition(".")[2].lower() for slot in SLOTS}
    return called | read_json(folder / "summary.json").get("names", {})
