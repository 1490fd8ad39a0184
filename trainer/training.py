"""Train one run: build its parts, follow the loop's reports, record the results."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainer.build import training
from trainer.build.training import TrainingParts
from trainer.checks.check import in_short
from trainer.config.targets import LOADER_KEYS
from trainer.config.user_modules import names_user_module
from trainer.data import description
from trainer.engine.baselines import baselines, best_of
from trainer.engine.calibration import Calibrated, decision
from trainer.engine.intervals import of_test
from trainer.engine.loop import evaluate, fit
from trainer.engine.stopping import Ending
from trainer.engine.trace import KeepingMeter
from trainer.errors import Halt, Halted, Stopped, never
from trainer.files import write_json
from trainer.metrics.bounds import Interval
from trainer.metrics.classes import cut_at
from trainer.runs import tested
from trainer.runs.checkpoints import Store
from trainer.runs.environment import environment
from trainer.runs.folder import RunFolder
from trainer.runs.index import is_later_job, is_sweep
from trainer.runs.ledger import meaning_of
from trainer.runs.resume import about_f1, check_data, values_of
from trainer.runs.saver import Saver
from trainer.runs.shared import Measured, shared
from trainer.runs.trust import signature
from trainer.view import pictures
from trainer.view.advice import advice, beaten
from trainer.view.log import RunLog

DECIDE_BASELINES = ("data.", "loss.", "metrics", "threshold")  # how settings start that make a difference to them


def train(cfg: DictConfig, run: RunFolder, halt: Halt = never) -> float:
    """Train as `cfg` says and return the best value of the monitored validation metric.

    Resumes if the run's folder holds a checkpoint. After every epoch but the last, `halt(epoch, best)` may stop the
    run, which is saved first.

    Raises:
        DltrainError: anything the user can fix.
        Halted: `halt` returned true.
    """
    pictures.check(cfg.plots)  # a wrong name is reported before any data is read
    meaning = meaning_of(run.path)
    warnings = about_f1(meaning.f1, cfg)
    store = Store(run.checkpoints, cfg.checkpoint.keep)
    checkpoint = store.newest(say=warnings.append)

    is_checked = checkpoint or is_later_job(run.path)
    parts = training.assemble(cfg, meaning, None if is_checked else in_short)
    store.data = description.dumps(parts.spec, parts.data.train.targets)
    where = begin(cfg, run, parts, resumes=checkpoint is not None)
    log = RunLog(cfg, run, parts, where, resumes_at=checkpoint.about["step"] + 1 if checkpoint else None)
    log.header(cfg, *warnings)

    saver = Saver(store, cfg.checkpoint, *parts.for_saver, flush=log.flush, lap=log.lap)
    if checkpoint:
        saver.restore(checkpoint)
        log.resumed(saver.position)
    shortcut = training.shortcut(cfg, parts, log.clock, log.say)
    minutes = cfg.max_minutes - saver.seconds / 60
    ending = Ending(parts.update, parts.best, halt, cfg.epochs, cfg.patience, cfg.max_steps, minutes)

    with log, ending:
        try:
            for report in fit(
                *parts.for_fit(watched=ending.watched),
                epochs=ending.epochs_from(saver.position),
                autocast=parts.autocast,
                track=ending.limited,
                lap=log.lap,
                shortcut=shortcut,
                start=saver.position,
            ):
                log.step(report)
                if not report.val:
                    saver.within_epoch(report, more_to_come=ending.allows(report.position.batch, parts.data.train))
                    continue
                improved = parts.best.improved(report.epoch, report.val)
                parts.update.end_epoch(improved)
                log.epoch(report, improved, saver.trained_s)
                saver.end_of_epoch(report, improved)
                if ending.reached(report.epoch):
                    break
            saver.save()
            ending.check_signals()
        except (Halted, Stopped) as end:
            saver.save()
            log.interrupted(end, saver.position, saver.trained_s)
            raise
    return conclude(cfg, run, parts, log, saver, shortcut.gain())


def begin(cfg: DictConfig, run: RunFolder, parts: TrainingParts, resumes: bool) -> dict[str, Any]:
    """Record the config and the environment in the run's folder, and return the environment.

    Raises:
        DataError: the run resumes, and its data has changed.
    """
    data = description.fingerprints(parts.data)
    if resumes:
        check_data(run.path, data, cfg.changed_data)
    where = environment(run.command, str(parts.device)) | {"names": dict(run.names), "data": data}
    where |= {"num_threads": torch.get_num_threads()} | meaning_of(run.path).record()
    config = OmegaConf.to_yaml(cfg, resolve=True)
    if names_user_module(cfg):
        where |= signature(list(run.command), config)
    run.open()
    run.begin(config, where, resumes)
    return where


def conclude(
    cfg: DictConfig, run: RunFolder, parts: TrainingParts, log: RunLog, saver: Saver, gain: Mapping[str, float]
) -> float:
    """Test the weights that validation chose, the first use of the test split; write the summary, then draw."""
    train_s, best = saver.trained_s, parts.best
    model = saver.load_best()
    floor, notes = floor_of(cfg, run, parts)  # before the model's temperature and threshold are chosen
    parts, tested_model = _decided(cfg, parts, model, log, saver.store)
    log.parts = parts
    meter = KeepingMeter(parts.meter)
    test = evaluate(tested_model, parts.loss, parts.data.test, meter, autocast=parts.autocast)
    around = of_test(meter, parts.data.test, parts.loss)
    if meter.is_whole:
        tested.write(run.tested, tested.seen(meter, parts.data.test))
    explain = getattr(model, "learned", None)
    learned = explain(parts.spec) if explain else {}
    log.results(test, around, floor, learned)
    notes += beaten(cfg, run.names, parts.spec.kind, best, test, around.intervals, floor, saver.position.epoch - 1)
    log.say(*(f"baselines     {note}" for note in notes))
    summary = _summary(run, parts, saver, test, around.intervals, floor, learned) | {
        "train_s": train_s,
        "seconds": log.clock.seconds,
        "compiled": dict(gain),
        "samples_per_s": saver.position.num_examples / train_s,
    }
    if is_sweep(run.path.parent) and best.monitor in around.draws:
        write_json(run.draws, around.record(best.monitor))
    write_json(run.summary, summary)  # before drawing, so that the results are safe
    log.farewell(summary, advice(cfg, log.clock.seconds, log.num_updates, saver.position.epoch - 1))
    log.draw(model, meter)
    return best.metrics[best.monitor]


def _summary(
    run: RunFolder,
    parts: TrainingParts,
    saver: Saver,
    test: Mapping[str, float],
    intervals: Mapping[str, Interval],
    floor: Mapping[str, Mapping[str, float]],
    learned: Mapping[str, list[float]],
) -> dict[str, Any]:
    """Return what a finished run has reached, without its times."""
    return {
        "status": "finished",
        "names": dict(run.names),
        **parts.best.about(),
        "test": test,
        "test_interval": intervals,
        **({"threshold": parts.spec.threshold} if parts.spec.task == "binary" else {}),
        "baseline": floor.get(best_of(floor, parts.best), {}),
        "baselines": floor,
        "epochs": saver.position.epoch - 1,
        "steps": parts.update.num_steps,
        "skipped_steps": parts.update.num_skipped,
        "num_train": len(parts.data.train.targets),
        "num_parameters": sum(p.numel() for p in parts.model.parameters()),
        "learned": learned,
        "run_dir": str(run.path.absolute()),
    }


def _decided(
    cfg: DictConfig, parts: TrainingParts, model: nn.Module, log: RunLog, store: Store
) -> tuple[TrainingParts, nn.Module]:
    """Choose temperature and threshold on the validation split, and keep them with the best weights."""
    if cfg.calibrate in ("off", False) and cfg.threshold != "auto":
        return parts, model
    meter = KeepingMeter(parts.meter)
    evaluate(model, parts.loss, parts.data.val, meter, autocast=parts.autocast)
    chosen = decision(*meter.outputs(), str(cfg.calibrate), cfg.threshold, cfg.miss_cost)
    log.say(*chosen.notes)
    spec = replace(parts.spec, threshold=chosen.threshold)
    store.describe_best(description.dumps(spec, parts.data.train.targets, chosen.temperature))
    measured = copy.deepcopy(parts.meter)
    cut_at(measured.metrics.values(), chosen.threshold)
    return replace(parts, spec=spec, meter=measured), Calibrated(model, chosen.temperature).eval()


def floor_of(cfg: DictConfig, run: RunFolder, parts: TrainingParts) -> Measured:
    """Return the test metrics of the baselines and notes on them; jobs of a sweep with the same data share them."""
    if cfg.baselines in ("off", False):
        return {}, []
    train, _, test = parts.data
    settings = {key: value for key, value in values_of(cfg).items() if key.startswith(DECIDE_BASELINES)}
    key = {
        "data": description.fingerprints(parts.data),
        "settings": {name: value for name, value in settings.items() if name.removeprefix("data.") not in LOADER_KEYS},
        "metrics": parts.meter.names,
        "seed": cfg.seed,
        "examples": test.num_examples,
    }
    return shared(run.path, key, partial(baselines, train, test, parts.spec, parts.loss, parts.meter, cfg.seed))
