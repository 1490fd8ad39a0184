"""One run: build finished parts, go through the reports of the loop, and say how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf

from trainer.build import parts
from trainer.build import update as build_update
from trainer.data import description
from trainer.data.fingerprint import fingerprints
from trainer.engine import numerics
from trainer.engine.baselines import baselines
from trainer.engine.clock import Clock
from trainer.engine.loop import Report, evaluate, fit
from trainer.engine.numerics import choose_precision, seed_everything
from trainer.engine.searched import SearchedUpdate
from trainer.engine.stopping import Budget, Signals
from trainer.engine.trace import Keeping, Recorder
from trainer.engine.update import Update
from trainer.errors import Halt, Halted, NumericalError, Stopped
from trainer.optim.search import Search
from trainer.runs import checkpoints
from trainer.runs import folder as run_folder
from trainer.runs.environment import environment
from trainer.runs.saver import Saver
from trainer.view import console as view
from trainer.view import pictures
from trainer.view.advice import advice
from trainer.view.board import open_board
from trainer.view.board.columns import hyper_parameters
from trainer.view.layers import layers_of
from trainer.view.outcome import Outcome

if TYPE_CHECKING:
    from trainer.engine.compiled import CompiledUpdate


def train(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    command: Sequence[str] = (),
    halt: Halt = lambda epoch, best: False,
) -> float:
    """Train as `cfg` says, with all files in `folder`.

    `names` says what was chosen, such as model -> resnet, and `command` how; both are only noted down.
    A folder that holds a checkpoint is gone on with. `halt` is asked after each epoch but the last, and told the best
    value of the monitored validation metric so far, whether the run shall stop there and be saved. Returns that value.

    Raises:
        DltrainError: whatever the user can mend.
        Halted: as `halt` has said.
    """
    numerics.keep_freed_memory()
    store = checkpoints.Store(folder / "checkpoints", cfg.checkpoint.keep)
    warnings: list[str] = []
    saved = store.newest(say=warnings.append)

    # Parts, from the data to the update.
    parts.check(cfg)
    looks_back = bool(pictures.check(cfg.plots)) or str(cfg.tensorboard).lower() == "full"
    device = parts.device(cfg.device)
    autocast, scaler = choose_precision(cfg.precision, device)
    seed_everything(cfg.seed, cfg.deterministic)
    data, spec = parts.data(cfg, device)
    store.data = description.dumps(spec, data.train.targets)
    sample = next(iter(data.train))[0][:2]
    model = parts.model(cfg, spec, sample)
    loss = parts.loss(cfg, spec, data.train.targets)
    train_meter, meter, best = parts.metrics(cfg, spec)
    steps_per_epoch = math.ceil(len(data.train) / cfg.accumulate)
    total_steps = int(min(cfg.epochs * steps_per_epoch, cfg.max_steps))
    update = build_update.update(cfg, model, total_steps, scaler)
    warnings += build_update.warnings(update, steps_per_epoch)
    searched: SearchedUpdate | None = None
    if isinstance(update.optimizer, Search):
        searched = SearchedUpdate(model, loss, update, autocast, train_meter.update, sample)

    # What is written and said before the first step.
    if not saved:
        run_folder.forget_logs(folder)
    config = OmegaConf.to_yaml(cfg, resolve=True)
    noted = {"num_threads": torch.get_num_threads(), "names": dict(names), "data": fingerprints(data)}
    surroundings = environment(command, str(device)) | noted
    run_folder.begin(folder, config, surroundings)
    rows = run_folder.MetricsFile(folder / "metrics.csv")
    results = [f"{split}/{name}" for split in ("best", "test") for name in meter.names]
    goes_on_at = saved and saved.about["step"] + 1
    columns = hyper_parameters(cfg, names, command, folder)
    board = open_board(cfg.tensorboard, folder / "tensorboard", columns, results, goes_on_at)
    layers = layers_of(model, sample)
    board.describe(model, sample, layers, config, surroundings)
    shown = best.monitor if best.monitor != "loss" else meter.names[-1]
    console = view.Console(cfg.epochs, total_steps, shown)
    console.say(*view.header(cfg, names, device, data, spec), *warnings, view.layers_table(layers))
    console.say(f"run    {view.shown(folder)}", *board.hint(view.log_root(folder)), "")

    saver = Saver(store, cfg.checkpoint, model, update, train_meter, best, flush=console.spared()(board.flush))
    if saved:
        saver.restore(saved)
        rows.cut(saver.position.epoch - 1)
        console.say(f"goes on in epoch {saver.position.epoch}, after {update.num_steps:,} updates")
    clock = Clock(device, cfg.log_every)
    compiled: CompiledUpdate | None = None
    if cfg.compile and (update.reevaluates or update.is_scaled):
        model.compile()  # there is no one graph of an update that asks for the loss again, or may be skipped
    elif cfg.compile:
        from trainer.engine.compiled import CompiledUpdate  # imports torch's compiler

        compiled = CompiledUpdate(model, loss, update, autocast, train_meter.update, clock, console.say)
    begun = logged = update.num_steps
    recorder = Recorder(model, begun, enabled=looks_back)
    log_every, patience = cfg.log_every, cfg.patience
    budget = Budget(update, cfg.max_steps, cfg.max_minutes - saver.seconds / 60)

    def over() -> bool:
        return budget.spent or best.epochs_without >= patience

    def check_halt() -> None:
        epoch = saver.position.epoch - 1
        if epoch < cfg.epochs and halt(epoch, best.metrics[best.monitor]):
            raise Halted(epoch, best.about() | {"names": dict(names), "train_s": saver.trained_s})

    with console, Signals() as signals:
        clock.start()
        try:
            if saved and best.epoch and not saver.position.batch and not over():
                check_halt()  # it was not heard, or what it says has changed
            for report in fit(
                model,
                loss,
                data.train,
                signals.watched(data.val),
                update,
                (train_meter, meter),
                epochs=0 if saved and not saver.position.batch and over() else cfg.epochs,
                autocast=autocast,
                track=lambda batches: budget.limit(signals.watched(batches)),
                lap=clock.lap,
                shortcut=searched or compiled or (lambda window, size: None),
                start=saver.position,
            ):
                console.step(report)
                if report.step >= recorder.next:
                    recorder.note(report.step, report.loss, update.lr)
                if report.step % log_every == 0 or report.val:
                    values = measured(report, update)
                    if report.step > logged:  # the last step of an epoch is reported twice
                        with console.spared():
                            board.scalars(report.step, values)
                        logged = report.step
                if not report.val:
                    clock.lap("logging")
                    saver.within_epoch(
                        report, more_to_come=report.position.batch < len(data.train) and not budget.spent
                    )
                    clock.lap("checkpoints")
                    continue
                improved = best.improved(report.epoch, report.val)
                update.end_epoch(improved)
                scores = {f"train/{name}": value for name, value in report.train.items()}
                scores |= {f"val/{name}": value for name, value in report.val.items()}
                times = {"epoch": report.epoch, "step": report.step, "seconds": saver.trained_s, "lr": update.lr}
                with console.spared():
                    rows.append(times | scores)
                    board.scalars(report.step, {tag: value for tag, value in scores.items() if tag != "train/loss"})
                console.epoch(report, improved)
                clock.lap("logging")
                saver.end_of_epoch(report, improved)
                clock.lap("checkpoints")
                if over():
                    break
                check_halt()
            saver.save()
            clock.lap("checkpoints")
            signals.check()
        except Halted:
            saver.save()
            with console.spared():
                board.scalars(update.num_steps + 1, {f"best/{name}": value for name, value in best.metrics.items()})
            raise
        except Stopped as stopped:
            saver.save()
            where = f"in epoch {saver.position.epoch}, after {update.num_steps:,} updates"
            raise Stopped(stopped.signum, f"{where}, which are saved; dltrain resume={view.shown(folder)}") from None
        except Exception:
            board.fail()
            raise
    train_s = saver.trained_s
    speed = saver.position.num_examples / train_s

    # The test split is read here for the first time, with the weights that the validation split chose.
    recorder.end(update.num_steps)
    chosen = update.averaged_model
    checkpoints.load_weights(chosen, store.read("best").weights["model"], store.folder / "best")
    kept = Keeping(meter) if looks_back else meter
    test = evaluate(chosen, loss, data.test, kept, autocast=autocast)
    floor = baselines(data.train, data.test, spec, loss, meter)
    learned = explain(spec) if (explain := getattr(chosen, "learned", None)) else {}
    console.say(view.results_table({f"validation, epoch {best.epoch}": best.metrics, "test": test, **floor}))
    if learned:
        console.say(view.parameters_table(learned, spec))
    reached = {f"best/{n}": v for n, v in best.metrics.items()} | {f"test/{n}": v for n, v in test.items()}
    with console.spared():
        board.end(update.num_steps + 1, reached)  # behind the last update: a run that goes on from there replaces it
    gain = compiled.gain() if compiled else {}
    summary = {
        "status": "finished",
        "names": dict(names),
        **best.about(),
        "test": test,
        "baseline": floor[list(floor)[-1]],
        "baselines": floor,
        "epochs": saver.position.epoch - 1,
        "steps": update.num_steps,
        "skipped_steps": update.num_skipped,
        "train_s": train_s,
        "seconds": clock.seconds,
        "compiled": gain,
        "samples_per_s": speed,
        "num_train": len(data.train.targets),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "learned": learned,
        "run_dir": str(folder.absolute()),
    }
    run_folder.write_json(folder / "summary.json", summary)

    # Whatever happens to what is drawn, the results are there.
    drawn: dict[str, Path] = {}
    if isinstance(kept, Keeping):
        outcome = Outcome(names, spec, data, chosen, loss, rows.rows(), best.epoch, recorder, *kept.outputs())
        with console.spared():
            drawn = pictures.draw(cfg.plots, folder / "plots", outcome, console.say)
            board.show(update.num_steps + 1, outcome, drawn, console.say)
    with console.spared():
        board.close()
    hint = advice(cfg, clock.seconds, update.num_steps - begun, saver.position.epoch - 1, chosen, loss, data.train)
    console.say(
        f"trained {update.num_steps:,} steps in {train_s:.1f} s, {speed:,.0f} samples/s",
        f"time          {view.shares(clock.seconds)}",
        *(f"advice        {line}" for line in [hint] if line),
        *view.gain_line(gain),
        *([f"pictures      {view.shown(folder / 'plots')} ({len(drawn)})"] if drawn else []),
        f"best weights  {view.shown(folder / 'checkpoints' / 'best' / 'model.safetensors')}",
        f"summary       {view.shown(folder / 'summary.json')}",
    )
    return best.metrics[best.monitor]


def measured(report: Report, update: Update) -> dict[str, float]:
    """What TensorBoard is told about an update.

    Raises:
        NumericalError: the loss is no number any more.
    """
    values = {
        "train/loss": float(report.loss),
        "update/lr": update.lr,
        "update/gradient_norm": float(update.gradient_norm()),
    }
    losses = [values["train/loss"], *([report.val["loss"]] if report.val else [])]
    if not all(math.isfinite(loss) for loss in losses):
        raise NumericalError(
            f"the loss is {losses[-1]} after {report.step} updates (lr {update.lr:g}, gradient norm "
            f"{values['update/gradient_norm']:g}); try a smaller optim.lr, or clip=1"
        )
    return values
