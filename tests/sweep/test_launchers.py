"""Jobs that Hydra's launchers run end as our own do: with a failure among them, and after a stop."""

import os
import signal
import subprocess
import sys
import time

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from trainer.config import launchers
from trainer.config.check import checked
from trainer.config.schema import CONF
from trainer.errors import ConfigError
from trainer.files import read_json
from trainer.runs.ledger import Ledger
from trainer.runs.lock import is_running
from trainer.sweeps import workers

PRESETS = ["ray", "submitit_local", "submitit_slurm"]

SLOW = """
import os, time
from torch import nn

WAITS, RAISES = 1, 2  # numbers: the preflight tries each word

class Slow(nn.Sequential):
    def __init__(self, in_shape, out_features, how=0):
        super().__init__(nn.Flatten(), nn.Linear(64, out_features))
        self.how, self.calls = how, 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 20 and self.how == RAISES:
            raise RuntimeError("boo")
        if self.calls > 60 and self.how == WAITS and not os.path.exists("go"):
            time.sleep(0.2)
        return super().forward(x)
"""


@pytest.mark.slow  # clusters' launchers start a process and import everything for each job
@pytest.mark.parametrize(
    ("launcher", "signum"),
    [(["submitit_local", "sweep.jobs=2"], signal.SIGINT), (["ray"], signal.SIGKILL)],
)
def test_jobs_beside_each_other_are_isolated_stopped_and_gone_on_with(launcher, signum, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "slow.yaml").write_text("_target_: slow.Slow\nhow: 0\n")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

    def start(*arguments):
        command = [sys.executable, "-m", "trainer.cli", "--config-dir", "conf", "-m", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)

    def events(kind):
        return [event["job"] for event in Ledger(folder).events() if event["event"] == kind]

    folder = tmp_path / "a sweep"
    light = ["plots=off", "tensorboard=off", "checkpoint.min_seconds=0"]
    jobs = ["model=slow", "model.how=1,2", "epochs=3", f"hydra/launcher={launcher[0]}", *launcher[1:], *light]
    process = start(*jobs, "hydra.sweep.dir='a sweep'")
    first = folder / "0" / "metrics.csv"
    wait_until(lambda: events("failed") == [1] and first.exists(), process)
    assert read_json(folder / "0" / "environment.json")["num_threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[signum], err
    assert ("stopped with 1 of 2 jobs to do" in out) == (signum != signal.SIGKILL)
    wait_until(lambda: events("interrupted") == [0], None)  # nothing goes on behind a process that was killed
    assert not is_running(folder / "0")

    (tmp_path / "go").touch()
    process = start("resume=a sweep")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 8, err
    assert {n: event["event"] for n, event in Ledger(folder).jobs().items()} == {0: "finished", 1: "failed"}
    assert events("started") in ([0, 1, 0], [1, 0, 0])
    assert "resumed" in read_json(folder / "0" / "environment.json")
    assert "RuntimeError: boo" in (folder / "1" / "train.log").read_text()
    assert "ConfigStore" not in (folder / "launcher.log").read_text()  # Hydra warns of two configs of a name


def wait_until(is_so, process, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("lines", "num_jobs", "expected"),
    [
        ([], 9, (1, 0)),
        (["sweep.jobs=auto"], 9, (8, 1)),
        (["sweep.jobs=auto"], 3, (3, 2)),
        (["sweep.jobs=2"], 9, (2, 4)),
        (["sweep.jobs=9"], 9, (9, 1)),
        (["hydra/launcher=submitit_local"], 9, (1, 8)),
        (["hydra/launcher=submitit_local", "sweep.jobs=3"], 9, (3, 2)),
        (["hydra/launcher=ray"], 9, (8, 1)),
        (["hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=4"], 9, (2, 4)),
        (["hydra/launcher=submitit_slurm"], 1000, (256, 4)),
    ],
)
def test_the_cores_are_divided_among_the_jobs(lines, num_jobs, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(workers, "warm_up", lambda: 0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cfg, _ = checked(lines)
    found = workers.workers(cfg, num_jobs)
    assert (found.at_once, found.threads, [*found.gpus]) == (*expected, [])
    if expected[1] and "slurm" not in lines[0]:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert workers.workers(cfg, num_jobs).threads == 1


def test_auto_leaves_each_job_the_threads_that_are_asked_for(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(workers, "warm_up", lambda: 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert workers.workers(checked(["sweep.jobs=auto"])[0], 9)[:2] == (2, 3)


@pytest.mark.parametrize(
    ("lines", "visible", "expected"),
    [
        (["sweep.jobs=auto"], None, (2, ["0", "1"])),
        (["sweep.jobs=auto"], "GPU-a,GPU-b,GPU-gone", (2, ["GPU-a", "GPU-b"])),
        (["sweep.jobs=3"], None, (3, ["0", "1"])),
        (["sweep.jobs=auto", "device=cpu"], None, (8, [])),
        (["sweep.jobs=3", "device=cuda:1"], None, (3, [])),
        ([], None, (1, ())),
    ],
)
def test_jobs_take_the_gpus_in_turn(lines, visible, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(workers, "warm_up", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = workers.workers(checked(lines)[0], 9)
    assert (found.at_once, found.gpus) == expected


@pytest.mark.parametrize("value", ["0", "two", "1.5", "true"])
def test_an_invalid_number_of_jobs_is_refused(dltrain, value):
    done = dltrain("-m", f"sweep.jobs={value}", "seed=1,2")
    assert done.code == 2
    assert f"sweep.jobs={value}: expected a whole number of at least 1".lower() in done.err.lower()


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["sweep.jobs=2", "hydra/launcher=ray"], "give sweep.jobs=1"),
        (["sweep.jobs=1,2"], "applies to the whole sweep"),
    ],
)
def test_jobs_at_a_time_are_a_setting_of_the_whole_sweep_on_this_machine(dltrain, lines, part):
    done = dltrain("-m", *lines, "seed=1,2")
    assert done.code == 2
    assert part in done.err


def test_a_job_that_ray_could_never_run_is_refused(dltrain):
    done = dltrain("-m", "hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=9999", "seed=1,2")
    assert done.code == 2
    assert "would wait forever" in done.err


@pytest.mark.parametrize("name", PRESETS)
def test_without_the_extra_one_line_says_what_to_install(dltrain, monkeypatch, name):
    monkeypatch.setattr(launchers, "find_spec", lambda _: None)
    done = dltrain("-m", f"hydra/launcher={name}", "seed=1,2")
    assert done.code == 2
    assert f"pip install hydra-{name.split('_')[0]}-launcher\n" in done.err
    assert len(done.err.splitlines()) == 1


def test_the_presets_set_what_the_plugins_know():
    from hydra_plugins.hydra_ray_launcher._config import RayLauncherConf
    from hydra_plugins.hydra_submitit_launcher.config import LocalQueueConf, SlurmQueueConf

    known = dict(zip(PRESETS, [RayLauncherConf, LocalQueueConf, SlurmQueueConf], strict=True))
    assert sorted(file.stem for file in (CONF / "hydra" / "launcher").glob("*.yaml")) == PRESETS
    for name, schema in known.items():
        preset, plain = checked([f"hydra/launcher={name}"])[0].hydra.launcher, OmegaConf.structured(schema)
        assert preset["_target_"] == plain["_target_"]
        assert set(preset) <= set(plain)
        assert f"{name}.yaml" not in ConfigStore.instance().repo["hydra"]["launcher"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hydra/launcher=submitit", "did you mean submitit_local or submitit_slurm?"),
        ("hydra/launcher=ray_aws", "sweep.jobs=2 runs two jobs at a time"),
        ("hydra.launcher.nam=x", "did you mean hydra.launcher.name?"),
    ],
)
def test_a_wrong_name_gets_the_nearest(dltrain, line, message):
    before = ["hydra/launcher=submitit_slurm"] if "nam" in line else []
    done = dltrain("-m", *before, line, "seed=1,2")
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("preset", "content", "message"),
    [
        ("submitit_slurm", "setup: [touch canary]", "only the command line"),
        ("submitit_slurm", "additional_parameters: {wrap: touch canary}", "only the command line"),
        ("submitit_slurm", 'comment: "x\\ntouch canary"', "only the command line"),
        ("submitit_slurm", "python: touch canary;", "only the command line"),
        ("submitit_local", "setup: [touch canary]", "only the command line"),
        ("ray", "ray: {init: {address: 'ray://somebody:10001'}}", "only the command line"),
        ("ray", "ray: {init: {runtime_env: {py_executable: touch canary}}}", "only the command line"),
        ("ray", "ray: {remote: {x: {_target_: os.system}}}", "are not allowed there"),
        ("submitit_local", "name: ${oc.env:HOME}", "are not allowed there"),
    ],
)
def test_no_yaml_of_somebody_else_runs_anything(tmp_path, preset, content, message):
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    mine = tmp_path / "hydra" / "launcher" / "mine.yaml"
    mine.write_text(f"defaults: [{preset}]\n{content}\n")
    with pytest.raises(ConfigError, match=message):
        checked(["hydra/launcher=mine"], str(tmp_path))
    mine.write_text(f"defaults: [{preset}]\n")
    assert checked(["hydra/launcher=mine"], str(tmp_path))


def test_the_command_line_may_say_what_a_launcher_runs_and_the_file_of_a_sweep_may_not():
    line = "hydra.launcher.setup=[module load cuda]"
    cfg, _ = checked(["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", line])
    assert cfg.hydra.launcher.setup == ["module load cuda"]
    began = ["model=mlp", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", line]
    for hostile in (line, "+hydra.launcher.additional_parameters.wrap=ls", "hydra.launcher.comment=x\nls"):
        with pytest.raises(ConfigError, match="give it again"):
            launchers.kept_of_launcher([*began[:3], hostile], [])
    assert launchers.kept_of_launcher(began[:3], []) == began[:3]
    assert launchers.kept_of_launcher(began, [line]) == began
    assert launchers.kept_of_launcher(began, ["hydra/launcher=basic"]) == ["model=mlp"]
    of_joblib = ["model=mlp", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert launchers.kept_of_launcher(of_joblib, []) == ["model=mlp"]
