"""Search: Optuna proposes the values of each job from the results of earlier ones.

By Optuna's ask and tell, with the options of hydra-optuna-sweeper: that plugin begins at job 0 whenever it begins, and
none of its releases takes both Hydra 1.3 and a current Optuna.

The ledger is all that a search goes on from. The study is made again from it: trial n's values are those of job n or,
where there is none yet, a function of seed, n and the trials before it. So a search that was killed proposes
what it would have proposed, and nothing can be in one of the two files and not in the other.
"""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from trainer.config.keys import key_of, key_values
from trainer.errors import ConfigError, nearest
from trainer.runs.ledger import Event, Ledger
from trainer.sweeps.job import Plan
from trainer.sweeps.launch import Launcher

STUDY = "study.log"
LEAST = {"n_trials": 1, "n_jobs": 0, "sampler.seed": 0, "sampler.n_startup_trials": 1}
SAMPLERS = ("tpe", "random", "qmc")
KINDS = {CategoricalDistribution: str, IntDistribution: int, FloatDistribution: float}


def check(cfg: DictConfig, axes: list[list[str]]) -> None:
    """Check the options of a search before it starts.

    Raises:
        ConfigError: a value that cannot be, or nothing to search.
    """
    options = cfg.hydra.sweeper
    for name, least in LEAST.items():
        value = OmegaConf.select(options, name, default=least)
        if type(value) is not int or value < least:
            raise ConfigError(f"hydra.sweeper.{name}={value}: expected a whole number of at least {least}")
    if options.sampler.name not in SAMPLERS:
        raise ConfigError(f"hydra/sweeper/sampler={options.sampler.name}: {nearest(options.sampler.name, SAMPLERS)}")
    if all(len(axis) == 1 for axis in axes):
        raise ConfigError("nothing to search; give a key several values, as in 'optim.lr=tag(log,interval(1e-4,1e-1))'")
    if cfg.sweep.prune == "halving":
        raise ConfigError("sweep.prune=halving needs all jobs from the start; use sweep.prune=median in a search")


def search(overrides: list[str], options: DictConfig, launcher: Launcher, plan: Plan, at_once: int = 1) -> None:
    """Run the trials that are left.

    Trial n is proposed by what trials 0 to n - `at_once` have come to, so that as many run at a time; what the others
    have come to by then is not looked at, or a search that is resumed would propose something else. A trial that failed
    is told as such, and has no part in what is proposed later.
    """
    ledger, lag = Ledger(plan.folder), options.n_jobs or at_once
    given = OverridesParser.create().parse_overrides(overrides)
    space = {_name(override): _distribution(override) for override in given if override.is_sweep_override()}
    study, running = _new_study(plan.folder), dict[int, Trial]()

    def tell_oldest() -> bool:
        """Wait for the oldest trial and tell the study; return False if it did not run because another one failed."""
        number = min(running)
        launcher.wait(number)
        known = ledger.jobs()
        _tell(study, running.pop(number), known.get(number, {}))
        return number in known

    for number in range(options.n_trials):
        if len(running) == lag and not tell_oldest():
            break
        study.sampler = _sampler(number=number, **options.sampler)
        running[number] = trial = _ask(study, space, ledger.jobs().get(number, {}).get("overrides"))
        launcher.submit(plan, number, [_line(override, trial.params) for override in given])
    while running:
        tell_oldest()


def _tell(study: optuna.Study, trial: Trial, job: Event) -> None:
    """Return the outcome of a trial's job; a pruned one counts with the value it reached."""
    objective = float(job.get("objective", math.nan))
    if job.get("event") == "pruned":
        trial.report(objective, job["epoch"])
        study.tell(trial, state=TrialState.PRUNED)
    elif math.isfinite(objective):
        study.tell(trial, objective)
    else:
        study.tell(trial, state=TrialState.FAIL)


def _new_study(folder: Path) -> optuna.Study:
    """Return a study in a file that Optuna's dashboard and plotting functions can read."""
    for left in folder.glob(f"{STUDY}*"):  # including a lock left by a kill
        left.unlink()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    outlook = Ledger(folder).outlook()
    assert outlook
    storage = JournalStorage(JournalFileBackend(str(folder / STUDY)))
    direction = StudyDirection.MAXIMIZE if outlook.higher_is_better else StudyDirection.MINIMIZE
    return optuna.create_study(storage=storage, study_name=folder.name, direction=direction)


def _ask(study: optuna.Study, space: Mapping[str, BaseDistribution], known: list[str] | None) -> Trial:
    """Return the next trial with a value for each key, taken from `known` if its job has already started."""
    if known:
        values = key_values(known)
        study.enqueue_trial({name: KINDS[type(space[name])](values[name]) for name in space})
    trial = study.ask()
    trial.relative_params  # noqa: B018 - Sobol's sequence advances with each point that is read, known or not
    for name, distribution in space.items():
        trial._suggest(name, distribution)
    return trial


def _sampler(name: str, number: int, seed: int, **options: Any) -> BaseSampler:
    """Return the sampler of one trial: its random numbers do not depend on earlier draws."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "tpe":
        return TPESampler(seed=own, **options)
    if name == "random":
        return RandomSampler(seed=own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return QMCSampler(seed=seed, independent_sampler=RandomSampler(own), warn_independent_sampling=False, **options)


def _distribution(override: Override) -> BaseDistribution:
    """Return the distribution of a key: intervals and integer ranges are ordered, anything else is categorical."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log)
        assert low is not None
        assert high is not None
        return FloatDistribution(low, high, log)
    values = list(override.sweep_string_iterator())
    if isinstance(value, RangeSweep) and not value.shuffle and all(text.lstrip("-").isdigit() for text in values):
        whole = sorted(map(int, values))
        return IntDistribution(whole[0], whole[-1], step=whole[1] - whole[0] if len(whole) > 1 else 1)
    return CategoricalDistribution(values)


def _name(override: Override) -> str:
    return key_of(override.get_key_element())


def _line(override: Override, values: Mapping[str, Any]) -> str:
    value = values[_name(override)] if override.is_sweep_override() else override.get_value_element_as_str()
    return f"{override.get_key_element()}={value}"
