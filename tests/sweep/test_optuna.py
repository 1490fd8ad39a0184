"""A search proposes what it would have proposed, however often it is interrupted; its direction follows the metric."""

import math
import random
import statistics
import sys

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from test_sweep import bad, states, sweep, table  # noqa: F401 - fixtures

from trainer.config.keys import key_values
from trainer.runs.ledger import Ledger
from trainer.sweeps.job import Plan
from trainer.sweeps.search import search

SPACE = ["epochs=3", "optim.lr=tag(log,interval(1e-5,1))", "model.width=int(interval(1,64))", "model=mlp,linear"]


class Killed(BaseException):
    pass


def loss(values):
    """Least, 0, at optim.lr=1e-2 of an mlp."""
    return (math.log10(float(values["optim.lr"])) + 2) ** 2 + (values["model"] == "linear")


class Launcher:
    """Runs jobs as `trainer.sweeps.job.job` does, and may be killed before, in or after one."""

    def __init__(self, folder, objective, calls_left=math.inf):
        self.ledger, self.objective, self.calls_left = Ledger(folder), objective, calls_left

    def tick(self):
        self.calls_left -= 1
        if self.calls_left < 0:
            raise Killed

    def submit(self, plan, number, overrides):
        job = self.ledger.jobs().get(number, {})
        assert job.get("overrides", overrides) == overrides  # a folder belongs to one set of values
        if job.get("event") not in ("finished", "failed"):
            self.run(number, overrides)

    def wait(self, number):
        pass

    def run(self, number, overrides):
        self.tick()
        self.ledger.append("started", job=number, overrides=overrides)
        self.tick()
        objective = self.objective(key_values(overrides))
        event = "failed" if math.isnan(objective) else "finished"
        self.ledger.append(
            event, job=number, **({} if event == "failed" else {"objective": objective, "metric": "mse"})
        )
        self.tick()


def started(folder, higher_is_better=False):
    folder.mkdir()
    Ledger(folder).append("preflight", seconds=1, metric="mse", higher_is_better=higher_is_better)
    return folder


def run(folder, sampler, launcher, n_trials=18, n_jobs=1):
    options = {"n_trials": n_trials, "n_jobs": n_jobs, "sampler": {"name": sampler, "seed": 0}}
    search(SPACE, OmegaConf.create(options), launcher, Plan(folder, [], False, False, "off", 2, {}))
    return [job["overrides"] for job in Ledger(folder).jobs().values()]


def trials(folder):
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.log")))
    return optuna.load_study(study_name=None, storage=storage).trials


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_search_that_is_killed_again_and_again_has_the_trials_of_an_unbroken_one(sampler, n_jobs, tmp_path):
    def objective(values):
        return math.nan if int(values["model.width"]) > 56 else loss(values)

    whole = started(tmp_path / "whole")
    expected = run(whole, sampler, Launcher(whole, objective), n_jobs=n_jobs)
    assert len({tuple(overrides) for overrides in expected}) == 18
    rng, broken, kills = random.Random(0), started(tmp_path / "broken"), 0
    while True:
        try:
            found = run(broken, sampler, Launcher(broken, objective, rng.randrange(2, 16)), n_jobs=n_jobs)
            break
        except Killed:
            kills += 1
    assert kills >= 4
    assert found == expected
    assert [(t.state, t.values) for t in trials(broken)] == [(t.state, t.values) for t in trials(whole)]
    assert {t.state for t in trials(whole)} == {TrialState.COMPLETE, TrialState.FAIL}
    # Extended, it continues like one that was started with more.
    assert run(broken, sampler, Launcher(broken, objective), n_trials=21, n_jobs=n_jobs)[:18] == expected


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_tpe_comes_closer_to_the_optimum_of_either_direction(higher_is_better, tmp_path):
    folder, sign = started(tmp_path / "sweep", higher_is_better), -1 if higher_is_better else 1
    jobs = run(folder, "tpe", Launcher(folder, lambda values: sign * loss(values)), n_trials=40)
    losses = [loss(key_values(overrides)) for overrides in jobs]
    assert statistics.median(losses[-20:]) < statistics.median(losses[:10]) / 4


def test_what_failed_and_is_tried_again_is_known_to_the_trials_after_it(tmp_path):
    folder = started(tmp_path / "sweep")
    before = run(folder, "tpe", Launcher(folder, lambda values: math.nan), n_trials=4)
    assert [t.state for t in trials(folder)] == [TrialState.FAIL] * 4
    Ledger(folder).append("finished", job=2, objective=0.5, metric="mse")
    assert run(folder, "tpe", Launcher(folder, loss), n_trials=6)[:4] == before
    assert [t.value for t in trials(folder)][:3] == [None, None, 0.5]


def test_whole_numbers_stay_whole_and_every_value_is_one_that_was_given(tmp_path):
    folder = started(tmp_path / "sweep")
    for overrides in run(folder, "random", Launcher(folder, loss)):
        values = key_values(overrides)
        assert overrides[0] == "epochs=3"
        assert 1e-5 <= float(values["optim.lr"]) <= 1
        assert 1 <= int(values["model.width"]) <= 64
        assert values["model"] in ("mlp", "linear")


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["optim.lr=interval(0.1,0.01)"], "low < high"),
        (["optim.lr=tag(log,interval(0,0.1))"], "0 < low"),
        (["optim.lr=tag(lin,interval(0.01,0.1))"], "tag(log,interval(low,high))"),
        (["model=mlp"], "nothing to search"),
        (["model=mlp,linear", "hydra.sweeper.n_trials=0"], "n_trials=0: expected a whole number of at least 1"),
        (["model=mlp,linear", "hydra.sweeper.sampler.seed=x"], "sampler.seed=x"),
        (["model=mlp,linear", "hydra.sweeper.sampler.name=x"], "choose from qmc, random, tpe"),
        (["model=mlp,linear", "hydra/sweeper/sampler=tbe"], "did you mean tpe?"),
        (["model=mlp,linear", "sweep.prune=halving"], "use sweep.prune=median in a search"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_it_begins(dltrain, overrides, part):
    code, _, err, _ = dltrain("-m", "hydra/sweeper=optuna", *overrides)
    assert code == 2
    assert part in err


def test_what_a_search_needs_is_said(dltrain, monkeypatch):
    code, _, err, _ = dltrain("-m", "optim.lr=interval(0.01,0.1)")
    assert code == 2
    assert "needs hydra/sweeper=optuna" in err
    monkeypatch.delitem(sys.modules, "trainer.sweeps.search")
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err, _ = dltrain("-m", "hydra/sweeper=optuna", "optim.lr=interval(0.01,0.1)")
    assert code == 2
    assert "pip install optuna" in err


def test_a_search_ends_with_the_line_that_runs_its_best_job(sweep, tmp_path):  # noqa: F811
    jobs = ["hydra/sweeper=optuna", "model=bad", "optim.lr=tag(log,interval(1e-4,1e-1))", "model.how=0,8"]  # 8 raises
    jobs += ["data=iris", "epochs=1", "hydra.sweeper.n_trials=5", "plots=off", "tensorboard=off", "sweep.jobs=2"]
    done = sweep(*jobs)
    assert done.code == 8, done.err
    folder = sweep.folder()
    assert set(states(folder).values()) == {"finished", "failed"}
    best = table(folder)[0]
    assert (
        f"best         dltrain --config-dir=conf model=bad optim.lr={best['optim.lr']} model.how=0 data=iris"
        in done.out
    )
    assert best["val_mean"] == str(max(job.get("objective", 0) for job in Ledger(folder).jobs().values()))
    # The ledger ends in the middle of a job, as a kill leaves it: the same trials, each in its folder.
    found, values = table(folder), [trial.values for trial in trials(folder)]
    lines = (folder / "sweep.jsonl").read_text().splitlines(keepends=True)
    (folder / "sweep.jsonl").write_text("".join(lines[: len(lines) // 2]))
    assert sweep("resume=last").code == 8
    assert table(folder) == found
    assert [trial.values for trial in trials(folder)] == values
    assert sorted(path.name for path in folder.glob("[0-9]*")) == [str(number) for number in range(5)]
