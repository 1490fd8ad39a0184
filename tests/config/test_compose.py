"""A run's config is composed once, and equals what Hydra itself composes."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from trainer.config.check import Checker, checked, checked_all
from trainer.config.command_line import parse
from trainer.config.compose import launch
from trainer.config.keys import parse_line
from trainer.config.schema import KNOBS, Config
from trainer.errors import ConfigError
from trainer.runs import hydra_files
from trainer.runs.folder import RunFolder

TINY = (
    "data=synthetic_linear",
    "model=linear",
    "optim=sgd",
    "epochs=1",
    "plots=off",
    "tensorboard=off",
    "baselines=off",
)
MINE = """# @package _global_
defaults:
  - override /model: linear
optim: {lr: 0.05}
metrics: ["${hydra:runtime.choices.model}", "${hydra:job.override_dirname}", "${hydra:runtime.output_dir}"]
"""


@pytest.fixture
def compositions(monkeypatch):
    """Collect the overrides of every config that Hydra composes."""
    found = []
    compose = ConfigLoaderImpl.load_configuration

    def counted(self, config_name, overrides, *arguments, **more):
        found.append(list(overrides))
        return compose(self, config_name, overrides, *arguments, **more)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    return found


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(MINE)
    return "conf"


def test_a_run_composes_its_config_once(dltrain, compositions, conf):
    assert dltrain(*TINY, "optim.nesterov=true", "optim.momentum=0.5").code == 0
    assert len(compositions) == 1
    assert dltrain(*TINY, "hydra.run.dir=named").code == 0
    assert dltrain("--config-dir", conf, *TINY, "dry_run=true").code == 0
    assert len(compositions) == 3
    assert dltrain("resume=named", "epochs=2").code == 0
    assert len(compositions) == 4


def test_choices_that_several_runs_share_are_composed_once(compositions):
    runs = [[f"model={model}", f"seed={seed}"] for model in ("mlp", "linear") for seed in range(3)]
    configs = [*checked_all(runs)]
    assert len(compositions) == 2
    assert [cfg.seed for cfg, _ in configs] == [0, 1, 2] * 2
    assert [cfg.hydra.overrides.task for cfg, _ in configs] == runs


def test_sys_argv_is_left_alone(dltrain, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["somebody", "else's"])
    assert dltrain(*TINY).code == 0
    assert dltrain("--cfg", "job").code == 0
    assert sys.argv == ["somebody", "else's"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*TINY, "+seed=3", "data.noise=0.5"],
        ["--config-dir=conf", "experiment=mine", "augment={flip: 0.5}", "optim.amsgrad=true", *TINY[-3:]],
    ],
)
def test_a_run_gets_the_same_config_and_files_as_from_hydra(dltrain, tmp_path, monkeypatch, conf, arguments):
    found = []

    def keep(cfg, *_, composed=None):
        # ${hydra:...} resolves only within the job.
        found.append((cfg, OmegaConf.to_container(cfg, resolve=True)))
        if composed:
            RunFolder(tmp_path / "a", hydra=hydra_files.texts(composed)).open()

    monkeypatch.setattr("trainer.cli.start.run_job", keep)
    assert dltrain(*arguments, "hydra.run.dir=a").code == 0
    plus = {"+seed=3": "seed=3", "optim.amsgrad=true": "++optim.amsgrad=true"}
    launch(parse([*(plus.get(word, word) for word in arguments), "hydra.run.dir=b"]), keep)
    (ours, our_values), (theirs, their_values) = found
    assert ours == theirs
    assert str(our_values) == str(their_values).replace(f"{tmp_path}/b", f"{tmp_path}/a")
    assert OmegaConf.get_type(ours) is Config
    assert OmegaConf.is_struct(ours)
    for name in ("config", "overrides"):
        assert (tmp_path / f"a/.hydra/{name}.yaml").read_bytes() == (tmp_path / f"b/.hydra/{name}.yaml").read_bytes()
    ours, theirs = (yaml.safe_load((tmp_path / f"{run}/.hydra/hydra.yaml").read_text())["hydra"] for run in "ab")
    assert ours["overrides"].pop("hydra") == ["hydra.run.dir=a"]
    assert theirs["overrides"].pop("hydra") == ["hydra.run.dir=b", "hydra.mode=RUN"]
    assert ours["job"].pop("name") == "dltrain"
    assert theirs["job"].pop("name") == Path(__file__).stem  # the file of the function that Hydra calls
    assert (ours["run"], theirs["run"]) == ({"dir": "a"}, {"dir": "b"})
    ours["run"], ours["runtime"]["output_dir"] = theirs["run"], theirs["runtime"]["output_dir"]
    assert ours == theirs


def test_an_error_in_a_run_is_reported(dltrain, tmp_path, monkeypatch):
    def fail(*_, composed):
        raise ConfigError("as it is")

    monkeypatch.setattr("trainer.cli.start.run_job", fail)
    outcome = dltrain(*TINY)
    assert (outcome.code, outcome.err) == (2, "dltrain: error[2]: as it is\n")
    assert not [*tmp_path.glob("outputs/*/*")]


@pytest.mark.parametrize(
    "line", ["hydra.job.chdir=true", "hydra.mode=MULTIRUN", "hydra.verbose=true", "hydra.output_subdir=x"]
)
def test_hydra_settings_that_have_no_effect_here_are_refused(line):
    with pytest.raises(ConfigError, match=r"hydra\..* cannot be overridden"):
        checked([line])


@pytest.fixture
def written(dltrain, conf):
    """Run with a yaml of these lines."""

    def run(*lines, header="# @package _global_", name="experiment=hers"):
        text = lines[0] if isinstance(lines[0], bytes) else "\n".join([header, *lines]).encode()
        Path(conf, "experiment", "hers.yaml").write_bytes(text)
        return dltrain("--config-dir", conf, name, *TINY, "dry_run=true")

    return run


BOMB = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
BOMB += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["optim: adam"], "optim: adam: expected settings"),
        (["data: null"], "data: None: expected settings"),
        (["defaults: {optim: sgd}"], "defaults must be a list"),
        (["defaults: [null]"], "Unsupported type in defaults"),
        (["defaults: [hers]"], "refers to itself"),
        (["- 1"], "hers.yaml: expected keys and values, got [1]"),
        (["seed: [1"], "hers.yaml: while parsing"),
        (["\tseed: 1"], "hers.yaml: while scanning"),
        (["seed: !!python/name:os.system x"], "hers.yaml: could not determine a constructor"),
        ([b"# gr\xfc\xdfe"], "hers.yaml: unacceptable character"),
        ([f"metrics: {'[' * 100}"], "hers.yaml: nested more than 32 deep"),
        (BOMB, "hers.yaml: expands to more than 2,000 values"),
        (["# " + "x" * 2**18], "hers.yaml: has 262,1"),
        (["metrics: ['${metrics}']"], "Interpolation to parent node detected; full_key: metrics[0]"),
    ],
)
def test_a_mistake_in_a_yaml_gets_one_line(written, lines, message):
    outcome = written(*lines)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("place", ["/elsewhere", "../elsewhere"])
def test_only_the_command_line_names_a_folder_outside_the_working_folder(dltrain, conf, place):
    text = f"defaults: [config, _self_]\nhydra: {{run: {{dir: {place}}}}}\n"
    Path(conf, "own.yaml").write_text(text)
    outcome = dltrain("--config-dir", conf, "--config-name=own", *TINY)
    assert (outcome.code, "only the command line" in outcome.err) == (2, True)
    Path(conf, "own.yaml").write_text(text.replace(place, "inside"))
    assert dltrain("--config-dir", conf, "--config-name=own", *TINY).code == 0
    assert Path("inside/summary.json").is_file()


def test_an_experiment_can_be_turned_off(dltrain, conf):
    Path(conf, "own.yaml").write_text("defaults: [config, override experiment: boston_all, _self_]\n")
    assert "boston" in dltrain("--config-dir", conf, "--config-name=own", "--cfg", "job").out
    assert "digits" in dltrain("--config-dir", conf, "--config-name=own", "--cfg", "job", "experiment=null").out
    assert dltrain(*TINY, "experiment=null", "dry_run=true").code == 0


def test_help_lists_what_can_be_read(dltrain, conf):
    group = Path(conf, "model")
    group.mkdir()
    (group / "latin.yaml").write_bytes(b"# gr\xfc\xdfe\n")
    os.mkfifo(group / "pipe.yaml")
    outcome = dltrain("--config-dir", conf, "--help")
    assert outcome.code == 0
    assert "latin" in outcome.out
    assert "pipe" not in outcome.out


@pytest.mark.parametrize("name", ["run${seed}", "a,b=c", "it's", "${", "\\${x}\\", '"', "3e5", "two\nlines", "[", "%s"])
def test_the_folder_to_resume_is_literal(dltrain, tmp_path, name):
    assert dltrain(*TINY, "hydra.run.dir=run").code == 0
    (tmp_path / "run").rename(tmp_path / name)
    outcome = dltrain(f"resume={name}", "epochs=2")
    assert outcome.code == 0, outcome.err
    assert yaml.safe_load((tmp_path / name / "config.yaml").read_text())["epochs"] == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_recipes_take_every_documented_word():
    words = [f"{name}={word}" for name, knob in KNOBS.items() for word in knob.metadata["choices"]]
    words += [
        "plots=off",
        "plots=all",
        "plots=auto",
        "plots=[curves]",
        "tensorboard=false",
        "metrics=auto",
        "resume=null",
    ]
    checker = Checker()
    for recipe in ("mnist_fast", "boston_rooms_random", "names_gru"):
        for word in words:
            cfg, _ = checker.check([f"experiment={recipe}", word])
            _, key, value = parse_line(word)
            found = str(OmegaConf.select(cfg, key)).lower().replace("'", "")
            assert found in (value, {"off": "false", "null": "none"}.get(value))
