"""Print `dltrain --help`: the components to choose from and the knobs to set, one per line."""

from argparse import ArgumentParser
from collections.abc import Sequence

from trainer.cli.commands import COMMANDS
from trainer.config.schema import KNOBS, groups


def usage(arguments: Sequence[str]) -> str:
    """Return the help text, including the options in --config-dir if the arguments name one."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", "-cd")
    config_dir = parser.parse_known_args(arguments)[0].config_dir
    lines = [
        "dltrain trains any model on any data with any loss and any optimizer, all chosen by name.",
        "",
        "  dltrain                                          the default: a small CNN on digits, in seconds",
        "  dltrain model=resnet data=mnist epochs=3         choose components, set knobs",
        "  dltrain data=csv data.path=my.csv data.target=price model=mlp",
        "  dltrain -m model=mlp,simple_cnn optim.lr=1e-3,1e-2    a sweep: one run per combination",
        "  tensorboard --logdir outputs                     look at all runs",
        "",
        "commands; each has its own --help",
        *(f"  dltrain {name:<11} {about}" for name, (_, about) in COMMANDS.items()),
    ]
    for group, options in groups(config_dir).items():
        lines += ["", f"{group}=", *(f"  {name:<16} {about}" for name, about in options.items())]
    lines += ["", "knobs, with their defaults"]
    for name, knob in KNOBS.items():
        choices = knob.metadata["choices"]
        about = knob.metadata["about"] + (f" ({', '.join(choices)})" if choices else "")
        lines.append(f"  {name + '=' + str(knob.default):<27} {about}")
    lines += [
        "",
        "Settings of a component are dotted: optim.lr=0.01 data.batch_size=full model.hidden=[64,32].",
        "--cfg job prints the whole config without running it; -m sweeps over comma-separated values;",
        "--config-dir DIR adds yaml files of your own; --hydra-help and --shell-completion are Hydra's.",
    ]
    return "\n".join(lines)
