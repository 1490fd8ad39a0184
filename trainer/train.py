"""One run: build finished parts, go through the reports of the loop, and say how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from trainer import build, checkpoint, run
from trainer.baseline import baselines
from trainer.errors import NumericalError
from trainer.loop import Report, evaluate, fit
from trainer.precision import choose_precision
from trainer.stopping import Budget
from trainer.update import Update
from trainer.view import console as view
from trainer.view.board import Board, hyper_parameters
from trainer.view.layers import layers_of


def train(cfg: DictConfig, folder: Path, names: Mapping[str, str], command: Sequence[str] = ()) -> float:
    """Train as `cfg` says, with all files in `folder`.

    `names` says what was chosen, such as model -> resnet, and `command` how; both are only noted down.
    Returns the best value of the monitored validation metric.

    Raises:
        DltrainError: whatever the user can mend.
    """
    # Parts, from the data to the update.
    build.check(cfg)
    device = build.device(cfg.device)
    autocast, scaler = choose_precision(cfg.precision, device)
    build.seed_everything(cfg.seed, cfg.deterministic)
    data, spec = build.data(cfg, device)
    sample = next(iter(data.train))[0][:2]
    model = build.model(cfg, spec, sample)
    loss = build.loss(cfg, spec, data.train.targets)
    train_meter, meter, best = build.metrics(cfg, spec)
    steps_per_epoch = math.ceil(len(data.train) / cfg.accumulate)
    total_steps = int(min(cfg.epochs * steps_per_epoch, cfg.max_steps))
    update = build.update(cfg, model, total_steps, scaler)

    # What is written and said before the first step.
    config = OmegaConf.to_yaml(cfg, resolve=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    run.write_json(folder / "environment.json", run.environment(command, str(device)))
    rows = run.MetricsFile(folder / "metrics.csv")
    results = [f"{split}/{name}" for split in ("best", "test") for name in meter.names]
    board = Board(folder / "tensorboard", hyper_parameters(cfg, names), results)
    board.describe(model, sample, config)
    shown = best.monitor if best.monitor != "loss" else meter.names[-1]
    console = view.Console(cfg.epochs, total_steps, shown)
    warnings = build.warnings(update, steps_per_epoch)
    console.say(*view.header(cfg, names, device, data, spec), *warnings, view.layers_table(layers_of(model, sample)))
    console.say(f"run    {view.shown(folder)}", f"board  tensorboard --logdir {view.log_root(folder)}", "")

    if cfg.compile:
        model.compile()
    logged = 0
    budget = Budget(update, cfg.max_steps, cfg.max_minutes)
    start = time.perf_counter()
    with console:
        for report in fit(
            model,
            loss,
            data.train,
            data.val,
            update,
            (train_meter, meter),
            epochs=cfg.epochs,
            autocast=autocast,
            track=budget.limit,
        ):
            console.step(report)
            if report.step % cfg.log_every == 0 or report.val:
                values = measured(report, update)
                if report.step > logged:  # the last step of an epoch is reported twice
                    board.scalars(report.step, values)
                    logged = report.step
            if not report.val:
                continue
            improved = best.improved(report.epoch, report.val)
            update.end_epoch(improved)
            scores = {
                f"{split}/{name}": value for split in ("train", "val") for name, value in getattr(report, split).items()
            }
            seconds = time.perf_counter() - start
            rows.append({"epoch": report.epoch, "step": report.step, "seconds": seconds, "lr": update.lr} | scores)
            board.scalars(report.step, {tag: value for tag, value in scores.items() if tag != "train/loss"})
            checkpoint.save(folder / "checkpoints" / "last", update.averaged_model, report)
            if improved:
                checkpoint.save(folder / "checkpoints" / "best", update.averaged_model, report)
            console.epoch(report, improved)
            if budget.spent or best.epochs_without >= cfg.patience:
                break
    train_s = time.perf_counter() - start

    # The test split is read here for the first time, with the weights that the validation split chose.
    chosen = update.averaged_model
    checkpoint.load(folder / "checkpoints" / "best", chosen)
    test = evaluate(chosen, loss, data.test, meter, autocast=autocast)
    floor = baselines(data.train, data.test, spec, loss, meter)
    learned = explain(spec) if (explain := getattr(chosen, "learned", None)) else {}
    console.say(view.results_table({f"validation, epoch {best.epoch}": best.metrics, "test": test, **floor}))
    if learned:
        console.say(view.parameters_table(learned, spec))
    board.close(
        report.step,
        {f"best/{n}": v for n, v in best.metrics.items()} | {f"test/{n}": v for n, v in test.items()},
    )
    summary = {
        "status": "finished",
        "best": best.metrics,
        "best_epoch": best.epoch,
        "test": test,
        "baseline": floor[list(floor)[-1]],
        "baselines": floor,
        "monitor": best.monitor,
        "epochs": report.epoch,
        "steps": report.step,
        "skipped_steps": update.num_skipped,
        "train_s": train_s,
        "samples_per_s": report.num_examples / train_s,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "learned": learned,
        "run_dir": str(folder.absolute()),
    }
    run.write_json(folder / "summary.json", summary)
    console.say(
        f"trained {report.step:,} steps in {train_s:.1f} s, {report.num_examples / train_s:,.0f} samples/s",
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
        "lr": update.lr,
        "gradient_norm": float(update.gradient_norm()),
    }
    losses = [values["train/loss"], *([report.val["loss"]] if report.val else [])]
    if not all(math.isfinite(loss) for loss in losses):
        raise NumericalError(
            f"the loss is {losses[-1]} after {report.step} updates (lr {update.lr:g}, gradient norm "
            f"{values['gradient_norm']:g}); try a smaller optim.lr, or clip=1"
        )
    return values
