"""The config: which top-level knobs there are, and the check that every key and value on a command line is one.

Hydra composes; this file says what may be composed. Nothing here imports torch, unless an argument of a component is
named that its yaml does not mention.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.errors import ConfigError

SLOTS = ("data", "model", "loss", "optim", "scheduler")  # groups that build one component each
_HERE = Path(__file__).parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"  # in a wheel, in a checkout


def knob(default: Any, help: str, *, least: float = -math.inf, most: float = math.inf, choices: tuple = ()) -> Any:
    """A top-level key: its neutral value, what it does with its unit, and its range."""
    return field(default=default, metadata={"help": help, "least": least, "most": most, "choices": choices})


@dataclass
class Config:
    """Every top-level key. `inf` and 0 turn a knob off where its line says so."""

    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optim: Any = MISSING
    scheduler: Any = MISSING
    epochs: int = knob(10, "passes over the training split", least=1)
    max_steps: float = knob(math.inf, "stop after so many updates of the weights", least=1)
    max_minutes: float = knob(math.inf, "stop after so many minutes of training", least=0)
    monitor: str = knob("auto", "validation metric that chooses the best epoch; auto: accuracy, or mse")
    metrics: Any = knob("auto", "list of metrics to report; auto: those of the task")
    patience: float = knob(math.inf, "stop after so many epochs without improvement of the monitor", least=1)
    precision: str = knob("fp32", "number format of the forward pass", choices=("fp32", "tf32", "bf16", "fp16"))
    device: str = knob("auto", "auto, cpu, cuda, cuda:1 or mps")
    accumulate: int = knob(1, "batches that make one update", least=1)
    clip: float = knob(math.inf, "longest gradient, as Euclidean norm; inf: no clipping", least=0)
    ema: float = knob(0.0, "decay of the moving average of the weights that is evaluated and kept; 0: none", least=0, most=1)
    compile: bool = knob(False, "compile the model with torch.compile")
    channels_last: bool = knob(False, "store images with the channels last in memory")
    seed: int = knob(0, "of weights, splits and order", least=0, most=2**31 - 1)
    deterministic: bool = knob(False, "only algorithms that give the same bits every time; slower on CUDA")
    log_every: int = knob(50, "updates between two points in TensorBoard", least=1)
    limit_batches: float = knob(math.inf, "use so many batches of each split an epoch", least=1)
    overfit_batches: int = knob(0, "train, validate and test on the same so many batches; 0: off", least=0)
    dry_run: bool = knob(False, "one batch through everything, leaving no files")


KNOBS = {f.name: f for f in fields(Config) if f.metadata}
ConfigStore.instance().store("schema", Config)


def checked(overrides: list[str], config_dir: str | None = None, config_name: str = "config") -> tuple[DictConfig, list[str]]:
    """Compose the config of one run, after a check of every override.

    Returns the config, Hydra's node included, and the overrides as Hydra is to be given them: an argument that a
    component has and its yaml does not mention gets the `++` that Hydra needs.

    Raises:
        ConfigError: a key that does not exist, or a value that cannot be; with the nearest names.
    """
    with _hydra(config_dir):
        parsed = _parse(overrides)
        choices = [o for o in parsed if _check_choice(o)]
        values = [o for o in parsed if o not in choices]
        base = _compose(config_name, [o.input_line for o in choices])
        lines = [o.input_line for o in choices] + [_check_value(o, base) for o in values]
        cfg = _compose(config_name, lines)
    _check_knobs(cfg)
    _check_hydra(cfg.hydra)
    return cfg, lines


def sweep_samples(overrides: list[str]) -> Iterator[list[str]]:
    """Command lines of single runs in which every value of a sweep occurs once: enough to check them all."""
    parsed = _parse(overrides)
    axes = {
        number: [f"{o.input_line.split('=', 1)[0]}={value}" for value in o.sweep_string_iterator()]
        for number, o in enumerate(parsed)
        if o.is_discrete_sweep()
    }
    first = [axes[number][0] if number in axes else o.input_line for number, o in enumerate(parsed) if not o.is_interval_sweep()]
    yield first
    for number, lines in axes.items():
        for line in lines[1:]:
            yield [*first[:number], line, *first[number + 1 :]]


def groups(config_dir: str | None = None) -> dict[str, dict[str, str]]:
    """Group -> option -> the first comment of its file, of the files that came along and those in `config_dir`."""
    found: dict[str, dict[str, str]] = {}
    for root in [CONF, *([Path(config_dir)] if config_dir else [])]:
        for file in sorted(root.glob("*/*.yaml")):
            if file.parent.name != "hydra":
                found.setdefault(file.parent.name, {})[file.stem] = _first_comment(file)
    return found


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ")
    return ""


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to append to a message about an unknown name: the nearest ones, else all there are."""
    names = sorted(map(str, valid))
    near = difflib.get_close_matches(name, names, 3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"


@contextmanager
def _hydra(config_dir: str | None) -> Iterator[None]:
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"--config-dir {config_dir}: no such folder ({Path(config_dir).absolute()})")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        if config_dir is not None:
            search_path = GlobalHydra.instance().config_loader().get_search_path()
            search_path.append("command-line", f"file://{Path(config_dir).absolute()}")
        yield


def _parse(overrides: list[str]) -> list[Override]:
    for line in overrides:
        if "=" not in line and not line.startswith("~"):
            option = [f"{group}={line}" for group, options in groups().items() if line in options]
            raise ConfigError(f"{line!r} is no key=value{f'; did you mean {option[0]}?' if option else ''}")
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(_one_line(error)) from error


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    try:
        return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error)) from error


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "object_type" not in line]
    return "; ".join(line for line in lines if not line.startswith(("To append", "Set the environment")))


def _check_choice(override: Override) -> bool:
    """Whether an override chooses from a group; if so, that there is such an option."""
    loader = GlobalHydra.instance().config_loader()
    group, value = override.key_or_group, override.value()
    if not loader.group_exists(group):
        return False
    options = loader.get_group_options(group, ObjectType.CONFIG)
    if value is not None and str(value) not in options:
        raise ConfigError(f"{override.input_line}: no such {group}; {nearest(str(value), options)}")
    if group in SLOTS and value is None:
        raise ConfigError(f"{override.input_line}: a run needs a {group}; {nearest('', options)}")
    return True


def _check_value(override: Override, base: DictConfig) -> str:
    """The override as Hydra is to be given it, after a check of its key and the kind of its value."""
    key, line = override.key_or_group, override.input_line
    if key.startswith("hydra."):
        return line
    if key in SLOTS or override.is_delete():
        raise ConfigError(f"{line}: {key} can be neither replaced nor taken away; choose an option, or set a key in it")
    node, parts = base, key.split(".")
    for part in parts[:-1]:
        node = node.get(part) if isinstance(node, DictConfig) else None
    slot, name = parts[0], parts[-1]
    if isinstance(node, DictConfig) and name in node and name != "_target_":
        if not OmegaConf.is_missing(node, name):
            _check_kind(line, key, override.value(), node[name])
        return f"{key}={line.split('=', 1)[1]}"
    known = [k for k in _keys(base) if not k.endswith("_target_")]
    if slot in SLOTS and len(parts) == 2:
        from trainer.build import parameters_of

        arguments = parameters_of(slot, base[slot]["_target_"])
        if name in arguments:
            return f"++{key}={line.split('=', 1)[1]}"
        known += [f"{slot}.{argument}" for argument in arguments]
        valid = {k for k in known if k.startswith(f"{slot}.")}
    else:
        valid = set(known) if len(parts) > 1 else {k for k in known if "." not in k} | set(SLOTS)
    raise ConfigError(f"{line}: unknown key {key}; {nearest(key, valid)}")


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        if f"{prefix}{key}" != "hydra":
            yield f"{prefix}{key}"
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
                yield from _keys(child, f"{prefix}{key}.")


def _check_kind(line: str, key: str, value: Any, present: Any) -> None:
    """A number stays a number, a list a list, yes-or-no yes-or-no; text and null may become anything."""
    kinds = [(bool, "true or false"), (int, "a whole number"), ((int, float), "a number"), (ListConfig, "a list [...]")]
    if key == "data.batch_size":
        if value != "full" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ConfigError(f"{line}: expected a whole number of at least 1, or full")
        return
    if isinstance(value, str) and value.startswith("${"):
        return
    for kind, name in kinds:
        if isinstance(present, kind):  # type: ignore[arg-type]
            fits = isinstance(value, list if kind is ListConfig else kind)  # type: ignore[arg-type]
            if not fits or (isinstance(value, bool) and kind is not bool):
                range_ = _range(KNOBS[key]) if key in KNOBS else ""
                raise ConfigError(f"{line}: {key} is {name}{range_}, got {value!r}")
            return


def _range(knob: Any) -> str:
    least, most = knob.metadata["least"], knob.metadata["most"]
    if least > -math.inf and most < math.inf:
        return f" from {least:g} to {most:g}"
    return f" of at least {least:g}" if least > -math.inf else ""


def _check_knobs(cfg: DictConfig) -> None:
    for name, knob in KNOBS.items():
        value, choices = cfg[name], knob.metadata["choices"]
        if choices and value not in choices:
            raise ConfigError(f"{name}={value}: {nearest(str(value), choices)}; {name} is one of {', '.join(choices)}")
        if isinstance(value, (int, float)) and not knob.metadata["least"] <= value <= knob.metadata["most"]:
            raise ConfigError(f"{name}={value}: expected a number{_range(knob)} ({knob.metadata['help']})")


def _check_hydra(node: DictConfig) -> None:
    """Hydra instantiates parts of its own node, whoever wrote it: only its launchers, sweepers and log files may be there."""
    raw: Any = OmegaConf.to_container(node, resolve=False)
    plugins = [raw.pop(part, None) or {} for part in ("launcher", "sweeper")]
    for plugin in plugins:
        target = str(plugin.get("_target_", "hydra."))
        if not target.startswith(("hydra._internal.core_plugins.", "hydra_plugins.", "hydra.")):
            raise ConfigError(f"hydra: {target} is no launcher or sweeper of Hydra's")
    handlers = {"logging.StreamHandler", "logging.FileHandler", "logging.NullHandler"}
    for path, key, value in _walk([raw, *({k: v for k, v in p.items() if k != "_target_"} for p in plugins)], "hydra"):
        if key in ("_target_", "()") or (key == "class" and value not in handlers):
            raise ConfigError(f"{path}.{key}={value}: nothing is instantiated there")


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield path, key, value
        yield from _walk(value, f"{path}.{key}")
