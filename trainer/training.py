"""Train one run: build its parts, follow the loop's reports, record the results."""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from trainer.build import training
from trainer.build.training import TrainingParts
from trainer.checks.check import in_short
from trainer.config.user_modules import names_user_module
from trainer.data import description
from trainer.engine.baselines import baselines
from trainer.engine.loop import evaluate, fit
from trainer.engine.stopping import Ending
from trainer.engine.trace import KeepingMeter
from trainer.errors import Halt, Halted, Stopped, never
from trainer.files import write_json
from trainer.runs import tested
from trainer.runs.checkpoints import Store
from trainer.runs.environment import environment
from trainer.runs.folder import RunFolder
from trainer.runs.index import is_later_job
from trainer.runs.ledger import f1_of
from trainer.runs.records import POSITIVE
from trainer.runs.resume import about_f1, check_data
from trainer.runs.saver import Saver
from trainer.runs.tested import Tested
from trainer.runs.trust import signature
from trainer.view import pictures
from trainer.view.advice import advice
from trainer.view.log import RunLog


def train(cfg: DictConfig, run: RunFolder, halt: Halt = never) -> float:
    """Train as `cfg` says and return the best value of the monitored validation metric.

    Resumes if the run's folder holds a checkpoint. After every epoch but the last, `halt(epoch, best)` may stop the
    run, which is saved first.

    Raises:
        DltrainError: anything the user can fix.
        Halted: `halt` returned true.
    """
    pictures.check(cfg.plots)  # a wrong name is reported before any data is read
    f1 = f1_of(run.path)
    warnings = about_f1(f1, cfg)
    store = Store(run.checkpoints, cfg.checkpoint.keep)
    checkpoint = store.newest(say=warnings.append)

    is_checked = checkpoint or is_later_job(run.path)
    parts = training.assemble(cfg, f1, None if is_checked else in_short)
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
    where |= {"num_threads": torch.get_num_threads()} | ({"f1": POSITIVE} if f1_of(run.path) == "f1" else {})
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
    train_s, best, update = saver.trained_s, parts.best, parts.update
    model, meter = saver.load_best(), KeepingMeter(parts.meter)
    test = evaluate(model, parts.loss, parts.data.test, meter, autocast=parts.autocast)
    if meter.is_whole:
        outputs, targets = meter.outputs()
        tested.write(run.tested, Tested(outputs, targets, parts.data.test.rows[: len(targets)]))
    floor = baselines(parts.data.train, parts.data.test, parts.spec, parts.loss, parts.meter)
    explain = getattr(model, "learned", None)
    learned = explain(parts.spec) if explain else {}
    log.results(test, floor, learned)
    summary = {
        "status": "finished",
        "names": dict(run.names),
        **best.about(),
        "test": test,
        "baseline": floor[list(floor)[-1]],
        "baselines": floor,
        "epochs": saver.position.epoch - 1,
        "steps": update.num_steps,
        "skipped_steps": update.num_skipped,
        "train_s": train_s,
        "seconds": log.clock.seconds,
        "compiled": dict(gain),
        "samples_per_s": saver.position.num_examples / train_s,
        "num_train": len(parts.data.train.targets),
        "num_parameters": sum(p.numel() for p in parts.model.parameters()),
        "learned": learned,
        "run_dir": str(run.path.absolute()),
    }
    write_json(run.summary, summary)  # before drawing, so that the results are safe
    log.farewell(summary, advice(cfg, log.clock.seconds, log.num_updates, saver.position.epoch - 1))
    log.draw(model, meter)
    return best.metrics[best.monitor]
