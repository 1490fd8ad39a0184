"""`dltrain explain`: trace one batch forward and backward; show the graph as a table and a picture."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from trainer.cli.settings import Setting, Settings, Usage
from trainer.config.keys import SLOTS
from trainer.config.schema import names_of
from trainer.errors import ConfigError
from trainer.runs.index import Run, find, new_folder

USAGE = Usage(
    settings={"run": Setting("a run's folder, last or best: its model with its best weights", "")},
    examples=(
        "dltrain explain model=mlp data=boston       any keys of a run",
        "dltrain explain 'model.hidden=[64,64,64,64,64,64,64,64]' model=mlp model.activation=sigmoid",
        "dltrain explain run=last",
    ),
    overrides=True,
)
MOST_EXAMPLES = 32  # more change the numbers little
ROWS = 60  # larger graphs are folded


def main(given: Settings) -> None:
    """Print the table with its legend, and draw graph.png."""
    if not given.values["run"]:
        from trainer.cli.shorthand import spelled_out
        from trainer.config.check import checked

        cfg, _ = checked(*spelled_out(given.overrides, given.config_dir))
        explain(cfg, names_of(cfg.hydra))
    elif given.overrides:
        raise ConfigError(f"dltrain explain: run= already sets the whole config; leave out {' '.join(given.overrides)}")
    else:
        from trainer.trained.model import config_of

        run = Run(find(given.values["run"]))
        cfg = config_of(run.folder)
        called = {slot: str(cfg[slot]["_target_"]).rpartition(".")[2].lower() for slot in SLOTS}
        explain(cfg, called | run.names, run.files.checkpoints)


def explain(cfg: DictConfig, names: dict[str, str], saved: Path | None = None) -> None:
    """Explain a config's model at the start of a run or, given the checkpoints `saved`, at its best epoch."""
    from trainer.build import parts
    from trainer.explain.fold import folded
    from trainer.explain.marks import marked
    from trainer.explain.record import record
    from trainer.explain.table import graph_table, legend
    from trainer.runs import checkpoints
    from trainer.view import style
    from trainer.view.console import Terminal, shown

    made = parts.assemble(cfg)
    inputs, targets = (part[:MOST_EXAMPLES] for part in next(iter(made.data.train)))
    if saved:
        best = checkpoints.Store(saved).read("best")
        checkpoints.load_weights(made.model, best.weights["model"], saved / "best")
    nodes = marked(record(made.model, made.loss, inputs, targets, made.autocast))
    rows = folded(nodes, ROWS)

    what = f"{names['model']} on {names['data']}"
    print(f"{what}: {len(nodes)} nodes, in the order of the forward pass of {len(inputs)} training examples")
    if len(rows) < len(nodes):
        print(f"folded to {len(rows)} rows: a module's row stands for several nodes and shows the last of them")
    width = None if sys.stdout.isatty() else 120
    Terminal(width=width).print(graph_table(rows))
    print(*legend(nodes), sep="\n")
    picture = new_folder(f"explain-{names['model']}-{names['data']}") / "graph.png"
    with style.look():  # before matplotlib is imported: it warns about fonts and the home folder
        from trainer.explain.picture import graph_picture

        graph_picture(rows, f"{what}\none batch, forward from top to bottom", picture)
    print(f"\npicture    {shown(picture)}")
