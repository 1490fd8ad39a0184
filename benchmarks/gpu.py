"""Measures the tool on a GPU with CUDA and writes docs/PERFORMANCE_GPU.md; no network, some five minutes on an H100.

    DLTRAIN_DATA=... python benchmarks/gpu.py              # the sections that docs/performance_gpu.json lacks
    DLTRAIN_DATA=... python benchmarks/gpu.py steps trace  # these anew
    python benchmarks/gpu.py write                         # the page anew, from what was measured before
    python benchmarks/gpu.py dry FOLDER                    # every section, tiny, on made data and a CPU, into FOLDER

The section `tests` runs tests/test_cuda.py in a subprocess. All others run in this process, one after the other, on an
idle device: the tool's runs through its command line, with TensorBoard's scalars, checkpoints and validation, and the
floors beside them, which are nothing but forward, backward and the optimizer's step.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import inspect
import io
import json
import logging
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from harness import ROOT, Page, keep, spread, write

sys.path.insert(0, str(ROOT))

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from trainer import cli
from trainer.config.schema import CONF
from trainer.data.augment import Augment
from trainer.data.images import mnist
from trainer.data.tensors import Examples, TensorLoader
from trainer.engine.compiled import CompiledUpdate
from trainer.engine.loop import Batch, fit
from trainer.engine.meter import Meter
from trainer.engine.numerics import choose_precision
from trainer.engine.update import Update
from trainer.metrics.classes import Accuracy, F1Macro
from trainer.schedules import cosine

PAGE = Page(
    "PERFORMANCE_GPU",
    "How fast it is on a GPU",
    """
    Written by `python benchmarks/gpu.py` (see its docstring) from `docs/performance_gpu.json`. All times are of one
    process on an idle device, with warm caches and after a warm-up, until the device has finished. The two numbers of a
    ratio were measured one after the other. `A training step`, `Tests`, `Two jobs` and `Where the host waits` come from
    one machine, the other sections from another of the same kind, which was some 10 % slower.
    """,
    "gpu.py",
)


class Scale(NamedTuple):
    """How much is measured, and on what."""

    device: str
    page: Page
    models: tuple[str, ...] = ("logistic", "mlp", "simple_cnn", "resnet")
    batches: tuple[int, ...] = (64, 256, 1024)
    large: int = 1024  # the batch of sections that measure one
    examples: int = 51_200  # of an epoch, at most
    whole: int = 1000  # batches of a whole epoch, at most
    steps: int = 200  # of an epoch that is cut short, at most; half of them are traced
    repeats: int = 40  # of a floor's step within a measurement
    seeds: int = 5
    precisions: tuple[str, ...] = ("fp32", "tf32", "bf16", "fp16")
    compiles: tuple[str, ...] = ("false", "true")

    @property
    def is_cuda(self) -> bool:
        """Whether there is anything to wait for."""
        return self.device == "cuda"

    def wait(self) -> None:
        """Until the device has done all that it was told."""
        if self.is_cuda:
            torch.cuda.synchronize()


# ------------------------------------------------------------------------------------------------ what is measured


class Run(NamedTuple):
    """A run of the tool's command line in this process."""

    step_s: float  # of the last epoch, by its updates: validation and all that is written included
    summary: dict[str, Any]


def run(scale: Scale, *overrides: str) -> Run:
    """Train with those overrides; without pictures, which are drawn after the training."""
    given = {line.split("=")[0] for line in overrides}
    defaults = {"device": scale.device, "tensorboard": "basic", "checkpoint.min_seconds": "1000"}
    if "experiment" not in given:
        defaults |= {"plots": "off", "data": "mnist", "data.val_fraction": str(1 / 60)}
    lines = [*overrides, *(f"{key}={value}" for key, value in defaults.items() if key not in given)]
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = cli.run([*lines, f"hydra.run.dir={folder}/run"])
        _close_logs()
        if code:
            raise RuntimeError(f"dltrain {' '.join(lines)}\n{said.getvalue()[-3000:]}")
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            ends = [(float(row["step"]), float(row["seconds"])) for row in csv.DictReader(file)]
    (step, second), (last_step, last_second) = (ends if len(ends) > 1 else [(0.0, 0.0), *ends])[-2:]
    return Run((last_second - second) / (last_step - step), summary | {"said": said.getvalue()})


def _close_logs() -> None:
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler):
            handler.close()
            logging.getLogger().removeHandler(handler)


def epoch_of(scale: Scale, batch: int) -> int:
    """Batches of an epoch that are measured."""
    return min(scale.steps, scale.examples // batch)


def model_of(name: str, device: str) -> nn.Module:
    """A model as the tool makes it for MNIST, from its yaml."""
    options: Any = OmegaConf.to_container(OmegaConf.load(CONF / "model" / f"{name}.yaml"))
    module, _, kind = options.pop("_target_").rpartition(".")
    made = getattr(importlib.import_module(module), kind)
    known = {"in_shape": (1, 28, 28), "out_features": 10, "num_classes": 10, "task": "multiclass"}
    return made(**options, **{k: v for k, v in known.items() if k in inspect.signature(made).parameters}).to(device)


def batches_of(scale: Scale, batch: int, count: int = 16) -> list[Batch]:
    """Batches that were laid out on the device beforehand."""
    splits, _ = mnist(root=os.environ["DLTRAIN_DATA"])
    some = Examples(*(part[: batch * count].to(scale.device) for part in splits.train))
    inputs = splits.prepare(some.inputs)
    return [pair for pair in zip(inputs.split(batch), some.targets.split(batch), strict=True) if len(pair[1]) == batch]


def bare_step(model: nn.Module, autocast: AbstractContextManager) -> Callable[[Tensor, Tensor], Tensor]:
    """Forward, backward and the step of a fused Adam, as a tutorial writes them."""
    device = next(model.parameters()).device.type
    is_cuda = device == "cuda"
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=is_cuda)
    optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        with autocast:
            outputs = model(inputs)
        value = nn.functional.cross_entropy(outputs.float(), targets)
        value.backward()
        optimizer.step()
        return value

    return step


def replayed(step: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> Callable[[Tensor, Tensor], None]:
    """The same step as a CUDA graph, on the batch that is copied to where the graph reads it."""
    kept = [part.clone() for part in batch]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(*kept)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(*kept)

    def replay(*given: Tensor) -> None:
        torch._foreach_copy_(kept, list(given))
        graph.replay()

    return replay


def seconds_of(scale: Scale, step: Callable[..., Any], batches: Sequence[Batch]) -> float:
    """Of a step on one batch after the other: the median of five times `repeats` of them."""
    found = []
    for _ in range(6):  # the first is the warm-up
        scale.wait()
        start = time.perf_counter()
        for number in range(scale.repeats):
            step(*batches[number % len(batches)])
        scale.wait()
        found.append((time.perf_counter() - start) / scale.repeats)
    return statistics.median(found[1:])


def floors(scale: Scale, name: str, batch: int, precision: str = "fp32") -> tuple[Callable[[], float], ...]:
    """Two that measure the bare step, launched operation by operation and as a CUDA graph; the same twice on a CPU."""
    autocast, _ = choose_precision(precision, torch.device(scale.device))
    layout = torch.channels_last if precision in ("bf16", "fp16") else torch.contiguous_format
    batches = [(inputs.to(memory_format=layout), targets) for inputs, targets in batches_of(scale, batch)]
    step = bare_step(model_of(name, scale.device).to(memory_format=layout), autocast)  # type: ignore[call-overload]

    def eager() -> float:
        return seconds_of(scale, step, batches)

    def graph() -> float:
        return seconds_of(scale, replayed(step, batches[0]), batches)

    return eager, graph if scale.is_cuda else eager


def us(seconds: float) -> str:
    """In microseconds."""
    return f"{1e6 * seconds:,.0f}"


# ------------------------------------------------------------------------------------------------------- the sections


def tests(scale: Scale) -> None:
    """Tests.

    `pytest tests/test_cuda.py`: precisions, determinism, what waits for the device, recorded updates, optimizers.
    """
    report = ROOT / "tests" / "test_cuda.py"
    options = [
        "-o",
        "addopts=",
        "-o",
        "filterwarnings=default",
        "-q",
        "-rfE",
        "--tb=short",
        "--show-capture=no",
        str(report),
    ]
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-m", "pytest", *options], capture_output=True, text=True, env=environment)
    print(done.stdout[-20_000:], done.stderr[-1000:], flush=True)
    counts = {what: number for number, what in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)}
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", done.stdout, re.M)
    row = [*(counts.get(what, "0") for what in ("passed", "failed", "skipped")), ", ".join(failed)]
    store(tests, scale, ["passed", "failed", "skipped", "which failed", "seconds"], [[*row, f"{since(start):.0f}"]])


def steps(scale: Scale) -> None:
    """A training step.

    Microseconds per update on MNIST with Adam, in fp32. The eager floor is the bare step, launched operation by
    operation: the mean of one measurement before the tool's and one after. The graph is the same step, replayed as a
    CUDA graph. Both read batches that are already on the device. The tool's figure is the time of its second epoch, of
    59,000 images, divided by its updates; it includes shuffling, validation on 1,000 images, metrics, the schedule and
    TensorBoard's scalars. With `compile=true` it records its own update as a CUDA graph; the last column says how long
    that took.

    Without a graph, this slow host is the bottleneck in all but the largest batches, for the floor as for the tool. A
    recorded update is up to seven times as fast. In small models it falls short of the bare graph: around it are about
    ten launches and the loop's bookkeeping, which take this host some 0.2 ms, and each epoch ends with 10 to 15 ms of
    validation, metrics and shuffling, which is much of 57 updates.
    """
    rows = []
    for name in scale.models:
        for batch in scale.batches:
            eager, graph = floors(scale, name, batch)
            before, replay = eager(), graph()
            options = (f"model={name}", f"data.batch_size={batch}", f"limit_batches={scale.whole}", "epochs=2")
            found = [run(scale, *options, f"compile={knob}") for knob in scale.compiles]
            floor, plain, fast = (before + eager()) / 2, found[0].step_s, found[-1].step_s
            recorded = found[-1].summary["compiled"].get("compile_s", float("nan"))
            row = [f"{name}, {batch}", us(floor), us(replay), us(plain), f"{plain / floor:.2f}"]
            rows.append([*row, us(fast), f"{fast / replay:.2f}", f"{1000 * recorded:,.0f}"])
            print("   ", rows[-1], flush=True)
            head = ["model, batch", "eager floor", "graph", "dltrain", "to the eager floor"]
            store(steps, scale, [*head, "dltrain compile=true", "to the graph", "to record, ms"], rows)


def precisions(scale: Scale) -> None:
    """Number formats.

    Microseconds per update in large batches, in the third epoch of 50 updates; the 10 to 20 ms at the end of an epoch
    are 200 to 400 us of each. The floors use the same format and, in 16 bits, channels last, as the tool does. Memory
    is the peak that the tool's run allocated on the device, in MiB, MNIST's images included.

    fp16 is not recorded, because an update may be skipped; bf16 is. In 16 bits without a graph, the host also has to
    launch casts of all weights.
    """
    rows = []
    for name in scale.models[-2:]:
        for precision in scale.precisions:
            eager, graph = (floor() for floor in floors(scale, name, scale.large, precision))
            batches = epoch_of(scale, scale.large)
            options = (f"model={name}", f"data.batch_size={scale.large}", f"limit_batches={batches}", "epochs=3")
            row = [f"{name}, {scale.large}", precision, us(eager), us(graph)]
            for knob in scale.compiles:
                if (knob, precision) == ("true", "fp16"):
                    row += ["", ""]
                    continue
                if scale.is_cuda:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                found = run(scale, *options, f"precision={precision}", f"compile={knob}")
                peak = torch.cuda.max_memory_allocated() / 2**20 if scale.is_cuda else 0
                row += [us(found.step_s), f"{peak:,.0f}"]
            rows.append(row)
            print("   ", row, flush=True)
            head = ["model, batch", "precision", "eager floor", "graph", "dltrain", "MiB"]
            store(precisions, scale, [*head, "dltrain compile=true", "MiB"], rows)


def fast(scale: Scale) -> None:
    """MNIST to 99 %.

    `experiment=mnist_fast`: one pass over 58,801 images in bf16. Seconds are the training time that the run reports,
    with validation and a checkpoint at the end, in a process that has trained before; the first row is that earlier
    run, which also starts cuDNN. The same seeds give the same accuracy, recorded or not.
    """
    rows, first = [], run(scale, "experiment=mnist_fast", "seed=99")
    rows.append(["a first run", f"{first.summary['train_s']:.2f}", f"{100 * first.summary['test']['accuracy']:.2f}"])
    for knob in scale.compiles:
        found = [run(scale, "experiment=mnist_fast", f"seed={s}", f"compile={knob}") for s in range(scale.seeds)]
        times = spread([result.summary["train_s"] for result in found])
        right = spread([100 * result.summary["test"]["accuracy"] for result in found])
        rows.append([f"compile={knob}, seeds 0 to {scale.seeds - 1}", times, right])
        print("   ", rows[-1], flush=True)
        store(fast, scale, ["", "seconds of training", "test accuracy, %"], rows)


def pipeline(scale: Scale) -> None:
    """Batches without a model.

    Millions of images per second that are shuffled, gathered, converted to floats, standardised and, in the lower rows,
    augmented. The 28 x 28 bytes are on the device. `all` is shift, flip, crop, rotation, noise and cutout.

    Augmentation takes this host 0.7 to 1.1 ms per batch, of 64 images as of 1,024. It is not part of the recorded
    update, and in small batches takes longer than it.
    """
    splits, _ = mnist(root=os.environ["DLTRAIN_DATA"])
    each = {"shift": 2, "flip": 0.5, "crop": 0.2, "rotation": 15, "noise": 0.1, "cutout": 8}
    augments: dict[str, Augment | None] = {
        "no augmentation": None,
        "shift": Augment(seed=0, shift=2),
        "all": Augment(seed=0, **each),  # type: ignore[arg-type]
    }
    rows = []
    for name, augment in augments.items():
        row = [name]
        for batch in scale.batches:
            options: dict[str, Any] = {"prepare": splits.prepare, "device": scale.device, "augment": augment}
            loader = TensorLoader(splits.train, batch, shuffle=True, limit=epoch_of(scale, batch), **options)
            speeds = []
            for epoch in range(4):
                loader.set_epoch(epoch)
                scale.wait()
                start = time.perf_counter()
                for _ in loader:
                    pass
                scale.wait()
                speeds.append(loader.num_examples / since(start))
            row.append(f"{statistics.median(speeds[1:]) / 1e6:.2f}")
        rows.append(row)
        print("   ", row, flush=True)
    store(pipeline, scale, ["", *(f"batches of {batch:,}" for batch in scale.batches)], rows)


def jobs(scale: Scale) -> None:
    """Two jobs on one device.

    Seconds of whole processes, imports included, that train resnet for two epochs of at most 200 batches of 64: one
    alone, and two at once. The device has room for both, because each job is held up by its own process on the host.
    """
    line = ["model=resnet", "data=mnist", f"limit_batches={epoch_of(scale, scale.batches[0])}", "epochs=2", "plots=off"]
    line += [f"data.batch_size={scale.batches[0]}", f"device={scale.device}", "tensorboard=basic"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    rows = []
    for number in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start, errors = time.perf_counter(), Path(folder) / "errors"
            with errors.open("w") as file:
                made = [
                    subprocess.Popen(
                        [sys.executable, "-m", "trainer.cli", *line, f"seed={seed}", f"hydra.run.dir=run{seed}"],
                        **{"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": file, "env": environment},
                    )
                    for seed in range(number)
                ]
                codes = [process.wait() for process in made]
            if any(codes):
                raise RuntimeError(errors.read_text()[-2000:])
            summaries = [json.loads((Path(folder) / f"run{s}" / "summary.json").read_text()) for s in range(number)]
        trained = statistics.mean(summary["train_s"] for summary in summaries)
        rows.append([f"{number}", f"{since(start):.1f}", f"{trained:.2f}", f"{since(start) / number:.1f}"])
    store(jobs, scale, ["jobs at once", "seconds", "of training, each", "seconds per job"], rows)


def trace(scale: Scale) -> None:
    """Where the host waits.

    The tool's loop with metrics, schedule, clipping and weight averaging, without logs, in torch's profiler, after a
    warm-up. `kernels` is the time that the device works per update, `launches` are the calls per update that start work
    on it, and `waits` those in all 100 updates that wait for it. The profiler slows everything down.

    Nothing waits for the device between two points in the logs: torch's debug mode for synchronisation finds no wait
    (`tests/test_cuda.py`), and the one here may be the profiler's own. It is the device that waits: in an eager update
    of the mlp it works 6 % of the time. When recorded, the resnet keeps it busy, and the host runs ahead until the
    device's queue is full.
    """
    rows = []
    for name, batch in ((scale.models[1], scale.batches[0]), (scale.models[-1], scale.batches[1])):
        for knob in scale.compiles:
            found = traced(scale, name, batch, compiled=knob == "true")
            rows.append([f"{name}, {batch}", f"compile={knob}", *found])
            print("   ", rows[-1], flush=True)
            head = [
                "model, batch",
                "",
                "us per update",
                "kernels, us",
                "launches",
                "waits in all",
                "the host's time goes to",
            ]
            store(trace, scale, head, rows)


def traced(scale: Scale, name: str, batch: int, *, compiled: bool) -> list[str]:
    """A row of the section `trace`."""
    from trainer.engine.clock import Clock

    choose_precision("fp32", torch.device(scale.device))
    splits, _ = mnist(root=os.environ["DLTRAIN_DATA"])
    count, warm = scale.steps // 2, scale.steps // 4
    torch.manual_seed(0)
    model = model_of(name, scale.device)
    options = {"capturable": True} if scale.is_cuda and compiled else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, **options)
    update = Update(model, optimizer, cosine(optimizer, 1000), clip=1.0, ema=0.99)
    loaders = [
        TensorLoader(part, batch, prepare=splits.prepare, device=scale.device, shuffle=True, limit=warm + count + 1)
        for part in (splits.train, splits.val)
    ]
    meters = (
        Meter({"accuracy": Accuracy(), "f1_macro": F1Macro()}),
        Meter({"accuracy": Accuracy(), "f1_macro": F1Macro()}),
    )
    loss = nn.CrossEntropyLoss()
    shortcut: Any = lambda window, size: None  # noqa: E731
    if compiled:
        clock = Clock(torch.device(scale.device))
        shortcut = CompiledUpdate(model, loss, update, nullcontext(), meters[0].update, clock, print)
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if scale.is_cuda else []
    profile = torch.profiler.profile(activities=activities)
    begin = wall = 0.0
    made = fit(
        *(model, loss, loaders[0], loaders[1], update, meters),
        **{"epochs": 20, "autocast": nullcontext(), "shortcut": shortcut},
    )
    for report in made:
        if report.step == warm:
            scale.wait()
            profile.start()
            begin = time.perf_counter()
        if report.step == warm + count:
            scale.wait()
            wall = since(begin)
            profile.stop()
            break
    events = profile.key_averages()
    waits = sum(e.count for e in events if re.search(r"(Stream|Device|Event)Synchronize", e.key))
    launches = sum(
        e.count for e in events if re.search(r"(cuda|cu)(Graph)?Launch|cudaMemcpyAsync|cudaMemsetAsync", e.key)
    )
    busy = sum(e.self_device_time_total for e in events if e.device_type == torch.autograd.DeviceType.CUDA)
    busiest = sorted(events, key=lambda event: -event.self_cpu_time_total)[:5]
    shares = ", ".join(f"{e.key} {e.self_cpu_time_total / count:.0f}" for e in busiest)
    return [us(wall / count), f"{busy / count:,.0f}", f"{launches / count:.1f}", f"{max(0, waits - 1)}", shares]


# ----------------------------------------------------------------------------------------------------------- the page

ALL = (tests, steps, precisions, fast, pipeline, jobs, trace)
SECTIONS: dict[str, Callable[[Scale], None]] = {section.__name__: section for section in ALL}


def since(start: float) -> float:
    """Seconds."""
    return time.perf_counter() - start


def store(section: Callable[[Scale], None], scale: Scale, head: list[str], rows: list[list[str]]) -> None:
    """Keep a table, and write the page anew."""
    also = {}
    if scale.is_cuda:
        cuda, cudnn = str(torch.version.cuda), str(torch.backends.cudnn.version())
        also = {f"{torch.cuda.get_device_name()}, CUDA": cuda, "cuDNN": cudnn}
    keep(section, head, rows, scale.page, also)  # type: ignore[arg-type]
    write(ALL, scale.page)  # type: ignore[arg-type]


@contextlib.contextmanager
def made_data() -> Iterator[None]:
    """Images of noise in the files of MNIST, in the place of DLTRAIN_DATA."""
    before = os.environ.get("DLTRAIN_DATA")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        generator = torch.Generator().manual_seed(0)
        for part, number in (("train", 2400), ("t10k", 100)):
            for what, shape, most in (("images-idx3", (number, 28, 28), 256), ("labels-idx1", (number,), 10)):
                values = torch.randint(0, most, shape, generator=generator, dtype=torch.uint8)
                head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
                (raw / f"{part}-{what}-ubyte").write_bytes(head + values.numpy().tobytes())
        os.environ["DLTRAIN_DATA"] = folder
        try:
            yield
        finally:
            os.environ.pop("DLTRAIN_DATA")
            if before is not None:
                os.environ["DLTRAIN_DATA"] = before


def main() -> None:
    """Measure what is asked for, or what is missing, and write the page."""
    asked = sys.argv[1:]
    if asked == ["write"]:
        write(ALL, PAGE)  # type: ignore[arg-type]
        return
    if asked[:1] == ["dry"]:
        page = PAGE._replace(folder=Path(asked[1]))
        page.folder.mkdir(parents=True, exist_ok=True)
        tiny = {
            "models": ("logistic", "mlp", "resnet"),
            "batches": (8, 16),
            "large": 16,
            "whole": 8,
            "steps": 8,
            "repeats": 2,
        }
        with made_data():
            measure(
                Scale("cpu", page, **tiny, seeds=1, precisions=("fp32", "bf16"), compiles=("false",)), list(SECTIONS)
            )
        return
    if unknown := [name for name in asked if name not in SECTIONS]:
        sys.exit(f"{unknown[0]} is not a section; available: {', '.join(SECTIONS)}, write and dry FOLDER")
    if not torch.cuda.is_available():
        sys.exit("device=cuda is not available; `python benchmarks/gpu.py dry FOLDER` tries every section on a CPU")
    kept = json.loads(PAGE.kept.read_text()) if PAGE.kept.exists() else {}
    measure(Scale("cuda", PAGE), asked or [name for name in SECTIONS if name not in kept])


def measure(scale: Scale, names: Sequence[str]) -> None:
    """One section after the other; one that fails is told, and the next one has its turn."""
    failed, begin = [], time.perf_counter()
    for name in names:
        print(f"{since(begin):6.1f} s  {name}", flush=True)
        try:
            SECTIONS[name](scale)
        except Exception as error:
            failed.append(name)
            print(f"{name} FAILED: {type(error).__name__}: {error}", flush=True)
    print(f"{since(begin):6.1f} s  end", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
