"""Kills, damages and starves runs, and writes what came of it to docs/RELIABILITY.md.

    python benchmarks/faults.py             # all of it, some minutes
    python benchmarks/faults.py sweeps      # a part alone, named as its function; writes nothing
    python benchmarks/faults.py --quick     # a part of each, under three minutes; writes nothing, fails if one fails
    DLTRAIN_DATA=... python benchmarks/faults.py     # with the broken files of DLTRAIN_DATA/bad, and MNIST for the cost

Each trial is a process of its own, killed for real. Most are forked from this one, which has imported what a run
imports, and so takes under a second; some are started afresh. A trial that is gone on with has to end as the unbroken
run: weights, state, best weights, metrics.csv without its clock, test metrics, and each step once in TensorBoard.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import logging
import os
import pickle
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sklearn.linear_model  # noqa: F401
import torch
import torch._dynamo
from faults_sweep import sweeps
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainer.train  # noqa: F401
from trainer import cli
from trainer.engine import loop
from trainer.engine.stopping import Watched
from trainer.runs import folder as run_folder
from trainer.runs import saver, sealed
from trainer.view.board.writing import Full

ROOT = Path(__file__).parent.parent
TINY = [
    *("data=digits", "model=mlp", "model.hidden=[16]", "model.dropout=0.3", "ema=0.9", "limit_batches=8", "epochs=4"),
    "plots=off",
    *("log_every=1", "checkpoint.min_seconds=0", "checkpoint.every_steps=3"),
]
BEGIN = [*TINY, "hydra.run.dir=run"]
Fault = Callable[[], None]


def forked(folder: Path, arguments: list[str], fault: Fault = lambda: None, kill_after: float | None = None) -> int:
    """Exit status of the command in a process of its own, negative if a signal ended it; its words are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if not child:
        os.chdir(folder)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        torch.set_num_threads(1)
        sys.argv[1:] = arguments
        code = 1
        try:
            fault()
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def words(folder: Path) -> str:
    """What the last command in a folder has said."""
    return (folder / "out").read_text() + (folder / "err").read_text()


def end_of(folder: Path) -> dict:
    """All that a finished run has come to, but for the clock."""
    last = folder / "checkpoints" / "last"
    state = torch.load(last / "state.pt", weights_only=True)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {
        "weights": {file.name: load_file(file) for file in last.glob("*.safetensors")},
        "state": {key: value for key, value in state.items() if key != "seconds"},
        "best": load_file(folder / "checkpoints" / "best" / "model.safetensors"),
        "metrics.csv": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
        "test": json.loads((folder / "summary.json").read_text())["test"],
        "tensorboard": {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]},
    }


def same(a: object, b: object) -> bool:
    """To the last bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


class Bench:
    """Trials in a temporary folder, and the rows of the table that they make."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick, self.count = folder, quick, 0
        self.rows: list[tuple[str, int, int, str]] = []
        self.draw = random.Random(0)
        started = time.monotonic()
        assert forked(folder / "reference", BEGIN) == 0, words(folder / "reference")
        self.seconds = time.monotonic() - started
        self.reference = end_of(folder / "reference" / "run")
        assert len(self.reference["metrics.csv"]) == 4

    def new(self) -> Path:
        """A folder for a trial."""
        self.count += 1
        return self.folder / f"trial-{self.count}"

    def goes_on(self, folder: Path, say: str = "") -> bool:
        """Whether a run that was broken off ends as the reference when it is gone on with."""
        run_folder = folder / "run"
        command = ["resume=run"] if (run_folder / "config.yaml").exists() else [*TINY, "hydra.run.dir=again"]
        if command[0] != "resume=run":  # killed before it had begun: there is nothing to go on with
            run_folder = folder / "again"
        code = forked(folder, command)
        told = words(folder)
        ended = code == 0 and same(end_of(run_folder), self.reference) and say in told
        clean = ended and not [p.name for p in (run_folder / "checkpoints").glob(".*")]
        if not clean:
            different = [k for k, v in end_of(run_folder).items() if not same(v, self.reference[k])] if not code else ""
            print(f"  {folder}: exit {code}, differs in {different}: {told[-300:]}")
        return clean

    def row(self, what: str, results: list[bool], remark: str = "") -> None:
        """A line of the table, printed too."""
        self.rows.append((what, sum(results), len(results), remark))
        print(f"{what}: {sum(results)}/{len(results)} {remark}", flush=True)


def boundaries(act: Callable[[int, str], None]) -> Fault:
    """Calls `act(n, what)` before the n-th time that the run's folder is written to, and within each write."""

    def install() -> None:
        count = 0

        def at(what: str, path: object = "run") -> None:
            nonlocal count
            if "run" in str(path):
                count += 1
                act(count, what)

        def audit(event: str, arguments: tuple) -> None:
            if event in ("os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir"):
                at(event, arguments[0] if event != "os.symlink" else arguments[1])
            if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
                at(event, arguments[0])

        sync, write = os.fsync, sealed._write_synced
        append = run_folder.MetricsFile.append

        def synced(handle: int) -> None:
            at("fsync")
            sync(handle)

        def written(path: Path, data: bytes) -> None:
            path.write_bytes(bytes(data)[: len(data) // 2])
            at("half a file", path)
            write(path, data)

        def appended(self: run_folder.MetricsFile, row: dict) -> None:
            if self.path.exists():
                before = self.path.read_bytes()
                self.path.write_bytes(before + b"9,9")
                at("half a row")
                self.path.write_bytes(before)
            append(self, row)

        os.fsync, sealed._write_synced, run_folder.MetricsFile.append = synced, written, appended
        sys.addaudithook(audit)

    return install


def noted(number: int, what: str) -> None:
    """Writes down what each boundary is, by a way that is none itself."""
    handle = os.open("kinds", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{what}\n".encode())
    os.close(handle)


def killed_at(number: int) -> Fault:
    """SIGKILL at the n-th boundary."""
    return boundaries(lambda n, what: os.kill(os.getpid(), signal.SIGKILL) if n == number else None)


def kills(bench: Bench) -> None:
    """SIGKILL at random moments, at every boundary, and in validation."""
    trials = 4 if bench.quick else 50
    results, fired = [], 0
    while len(results) < trials:
        folder = bench.new()
        code = forked(folder, BEGIN, kill_after=bench.draw.uniform(0.3, 1) * bench.seconds)
        if code == -signal.SIGKILL:  # or it was faster
            fired += 1
            results.append(bench.goes_on(folder))
    bench.row("SIGKILL at a random moment, then `resume`: ends as the unbroken run", results)

    counted = bench.new()
    counted.mkdir()
    assert forked(counted, BEGIN, boundaries(noted)) == 0
    total = len((counted / "kinds").read_text().splitlines())
    numbers = range(1, total + 1) if not bench.quick else sorted(bench.draw.sample(range(1, total + 1), 12))
    results = []
    for number in numbers:
        folder = bench.new()
        assert forked(folder, BEGIN, killed_at(number)) == -signal.SIGKILL
        results.append(bench.goes_on(folder))
        shutil.rmtree(folder)
    bench.row("SIGKILL at each boundary of a write (open, half written, sync, rename, link, delete)", results)

    results = []
    for number in range(1, 4 if bench.quick else 11):
        folder = bench.new()
        assert forked(folder, BEGIN, in_validation(number)) == -signal.SIGKILL
        results.append(bench.goes_on(folder))
    bench.row("SIGKILL in validation", results)


def in_validation(number: int) -> Fault:
    """SIGKILL at a moment of the validation of an epoch: before, within or after its batch."""

    def install() -> None:
        evaluate, epoch, moment = loop.evaluate, 1 + (number - 1) % 4, number % 3
        calls = 0

        def patched(model, loss, batches, meter, *, autocast):
            nonlocal calls
            calls += 1

            def dying(items):
                for item in items:
                    if calls == epoch and moment == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield item
                    if calls == epoch and moment == 1:
                        os.kill(os.getpid(), signal.SIGKILL)

            found = evaluate(model, loss, dying(batches), meter, autocast=autocast)
            if calls == epoch:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        loop.evaluate = patched

    return install


def signals(bench: Bench) -> None:
    """SIGTERM and Ctrl-C, once and twice."""
    for name, number, code, twice in [
        ("SIGTERM", signal.SIGTERM, 143, False),
        ("two SIGTERM, the second while it saves", signal.SIGTERM, 143, True),
        ("Ctrl-C", signal.SIGINT, 130, False),
    ]:
        results = []
        points = range(1, 36) if not bench.quick else (3, 18)
        for batch in bench.draw.sample(list(points), min(len(points), 20)):
            folder = bench.new()
            found = forked(folder, BEGIN, signalled(batch, number, twice))
            made = int((folder / "made").read_text())
            manifest = folder / "run" / "checkpoints" / "last" / "checkpoint.json"
            exact = json.loads(manifest.read_text())["step"] == made if made else True
            helps = "dltrain resume=run" in words(folder)
            results.append(found == code and exact and helps and bench.goes_on(folder))
        bench.row(f"{name}: exit {code}, saved at the exact update, says how to go on, and does", results)
    results = []
    for batch in (5, 20):
        folder = bench.new()

        def twice(batch: int = batch) -> None:
            signalled(batch, signal.SIGINT, False)()
            save = saver.Saver.save

            def slow(self: saver.Saver) -> None:
                if Path("made").exists():
                    os.kill(os.getpid(), signal.SIGINT)
                save(self)

            saver.Saver.save = slow

        found = forked(folder, BEGIN, twice)
        results.append(found == 130 and bench.goes_on(folder))
    bench.row("Ctrl-C twice: ends at once, no file is harmed", results)


def signalled(batch: int, number: int, twice: bool) -> Fault:
    """The signal comes while the model works on the n-th batch; notes how many updates were made by its end."""

    def install() -> None:
        iterate, seen, save = Watched.__iter__, 0, saver.Saver.save

        def counted(self):
            nonlocal seen
            for item in iterate(self):
                seen += 1
                if seen == batch:
                    os.kill(os.getpid(), number)
                    Path("made").write_text(str(batch - (batch - 1) // 9 - (batch % 9 == 0)))
                yield item

        def again(self: saver.Saver) -> None:
            if twice and Path("made").exists():
                os.kill(os.getpid(), number)
            save(self)

        Watched.__iter__, saver.Saver.save = counted, again

    return install


def damage(bench: Bench) -> None:
    """Checkpoints that were cut or changed."""
    stopped = bench.new()
    assert forked(stopped, BEGIN, signalled(22, signal.SIGTERM, False)) == 143
    results = []
    trials = 20 if not bench.quick else 3
    for kind in ("truncated", "bit flipped"):
        for number in range(trials):
            folder = bench.new()
            shutil.copytree(stopped, folder, symlinks=True)
            newest = (folder / "run" / "checkpoints" / "last").resolve()
            file = sorted(newest.iterdir())[number % len(list(newest.iterdir()))]
            content = bytearray(file.read_bytes())
            place = bench.draw.randrange(len(content))
            if kind == "truncated":
                content = content[:place]
            else:
                content[place] ^= 1 << bench.draw.randrange(8)
            file.write_bytes(content)
            results.append(bench.goes_on(folder, say="the checkpoint before it is used"))
    bench.row(
        "the newest checkpoint truncated or with a flipped bit: said, the one before is used, ends alike", results
    )

    results = []
    for number in range(3):
        folder = bench.new()
        shutil.copytree(stopped, folder, symlinks=True)
        for each in (folder / "run" / "checkpoints").glob("step-*/*"):
            each.write_bytes(each.read_bytes()[: 10 * number])
        before = sorted(str(p) for p in (folder / "run").rglob("*"))
        code = forked(folder, ["resume=run"])
        after = sorted(str(p) for p in (folder / "run").rglob("*"))
        results.append(code == 4 and "all checkpoints are damaged" in words(folder) and set(before) <= set(after))
    bench.row("all checkpoints damaged: exit 4, nothing is started over", results)


def full_disk(bench: Bench) -> None:
    """No space for checkpoints, or for logs alone."""
    counted = bench.new()
    assert forked(counted, BEGIN, boundaries(noted)) == 0
    writes = [
        n for n, what in enumerate((counted / "kinds").read_text().splitlines(), 1) if what in ("fsync", "half a file")
    ]
    results = []
    for number in writes if not bench.quick else writes[3 :: len(writes) // 4]:
        folder = bench.new()

        def refuse(n: int, what: str, number: int = number) -> None:
            if n >= number and what in ("fsync", "half a file"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        code = forked(folder, BEGIN, boundaries(refuse))
        results.append(code == 6 and "No space left" in words(folder) and bench.goes_on(folder))
        shutil.rmtree(folder)
    bench.row(
        "disk full (ENOSPC) from each write of a checkpoint on: exit 6, what was there is whole, goes on", results
    )

    results = []
    for limit in (400, 2_000, 4_000, 8_000):
        folder = bench.new()

        def small(limit: int = limit) -> None:
            write = sealed._write_synced

            def limited(path: Path, data: bytes) -> None:
                if "step-00000011" in str(path):
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                write(path, data)

            sealed._write_synced = limited

        code = forked(folder, BEGIN, small)
        results.append(code == 6 and "File too large" in words(folder) and bench.goes_on(folder))
    bench.row("a limit on the size of files (EFBIG) in a checkpoint: exit 6, goes on", results)

    results = []
    for owner, name in ((run_folder.MetricsFile, "append"), (Full, "scalars"), (Full, "show")):
        folder = bench.new()

        def logs(owner: type = owner, name: str = name) -> None:
            def fail(*_: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a log")

            setattr(owner, name, fail)

        code = forked(folder, BEGIN, logs)
        results.append(code == 0 and words(folder).count("logs are incomplete") == 1)
    bench.row("disk full for logs alone: warned once, trained to the end", results)


def folders(bench: Bench) -> None:
    """Twenty runs that are begun in one second, without a name for their folders."""
    folder, starts = bench.new(), 6 if bench.quick else 20
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "trainer.cli", *TINY, "epochs=1"]
    options = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    codes = [process.wait() for process in [subprocess.Popen(command, **options) for _ in range(starts)]]
    made = list(folder.glob("outputs/*/*/summary.json"))
    assert len(made) == starts
    bench.row("starts at once: a folder for each, all finished", [code == 0 for code in codes])


def fresh(bench: Bench) -> None:
    """In processes that are started from nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    results = []
    for _ in range(2 if bench.quick else 20):
        folder = bench.new()
        folder.mkdir()
        command = [sys.executable, "-m", "trainer.cli", *TINY, "hydra.run.dir=run"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        results.append(done.returncode == 0 and same(end_of(folder / "run"), bench.reference))
    bench.row("one seed in processes started afresh: the same bits", results)
    results = []
    for _ in range(1 if bench.quick else 5):
        folder = bench.new()
        folder.mkdir()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not list(folder.glob("run/checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        killed = process.wait() == -signal.SIGKILL
        again = [sys.executable, "-m", "trainer.cli", "resume=run"]
        done = subprocess.run(again, cwd=folder, env=environment, capture_output=True, text=True)
        results.append(killed and done.returncode == 0 and same(end_of(folder / "run"), bench.reference))
    bench.row("SIGKILL and resume in processes started afresh", results)


WATCHED = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class")


def watched() -> None:
    """Writes down whatever would have run."""

    def audit(event: str, arguments: tuple) -> None:
        if event in WATCHED:
            handle = os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{event} {arguments}\n".encode())
            os.close(handle)

    sys.addaudithook(audit)


def harmless(folder: Path) -> bool:
    """Whether nothing ran and no canary was left."""
    return not (folder / "ran").exists() and not list(folder.rglob("canary"))


TARGETS = [
    *(
        "os.system",
        "posix.system",
        "os.popen",
        "subprocess.run",
        "subprocess.call",
        "subprocess.Popen",
        "shutil.rmtree",
    ),
    *("builtins.eval", "builtins.exec", "builtins.open", "logging.os.system", "torch.load", "torch.hub.load"),
    *("torch.utils.cpp_extension.load", "torch.os.system", "torch.nn.modules.module.torch.os.system", "pickle.loads"),
    *(
        "trainer.cli.os.system",
        "trainer.runs.folder.subprocess.run",
        "trainer.data._image.idx.gzip.os.system",
        "pathlib.Path.touch",
    ),
    *("hydra.utils.instantiate", "hydra.utils.call", "hydra.utils.get_method", "hydra._internal.utils._locate"),
    *(
        "importlib.import_module",
        "torchvision.datasets.utils.os.system",
        "torch.optim.sgd.os.system",
        "webbrowser.open",
    ),
    *("pandas.read_pickle", "numpy.load", "ctypes.CDLL", "trainer.runs.checkpoints.torch.load", "runpy.run_path"),
]
NODES = {  # what Hydra itself would call
    "hydra.callbacks": "callbacks: {evil: {_target_: os.system, command: touch canary}}",
    "hydra.job_logging": "job_logging: {version: 1, handlers: {evil: {(): os.system, command: touch canary}}}",
    "hydra.hydra_logging": "hydra_logging: {version: 1, handlers: {evil: {(): os.system, command: touch canary}}}",
    "hydra.launcher": "launcher: {_target_: os.system, command: touch canary}",
    "hydra.sweeper": "sweeper: {_target_: os.system, command: touch canary}",
    "hydra.job.env_set": "job: {env_set: {LD_PRELOAD: canary.so}}",
}


def hostile(bench: Bench) -> None:
    """Configs and checkpoints that came from somebody else."""
    os.environ["HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE"] = "*"
    results = []
    cells = [(slot, target) for target in TARGETS for slot in ("model", "data", "loss", "optim", "scheduler")]
    for number, (slot, target) in enumerate(bench.draw.sample(cells, 6 if bench.quick else 54)):
        folder = bench.new()
        (folder / "theirs" / slot).mkdir(parents=True)
        nested = ("", "hidden: [{_target_: os.system, command: touch canary}]\n", "_partial_: true\n")[number % 3]
        text = f"# theirs\n_target_: {target}\ncommand: touch canary\npath: canary\n{nested}"
        (folder / "theirs" / slot / "evil.yaml").write_text(text)
        code = forked(folder, ["--config-dir", "theirs", f"{slot}=evil"], watched)
        results.append(code == 2 and harmless(folder) and "Traceback" not in words(folder))
    for name, line in NODES.items():
        folder = bench.new()
        (folder / "theirs" / "experiment").mkdir(parents=True)
        (folder / "theirs" / "experiment" / "evil.yaml").write_text(f"# @package hydra\n# theirs\n{line}\n")
        code = forked(folder, ["--config-dir", "theirs", "experiment=evil", "epochs=1"], watched)
        results.append(code == 2 and harmless(folder))
        if not results[-1]:
            print(f"  {name}: exit {code}, {words(folder)[-300:]}")
    bench.row("hostile targets and nodes in a yaml of somebody else: exit 2, nothing ran", results)
    del os.environ["HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE"]

    stopped = bench.new()
    assert forked(stopped, BEGIN, signalled(22, signal.SIGTERM, False)) == 143
    results = []
    for name, poison in [*POISONS.items()][: 3 if bench.quick else None]:
        folder = bench.new()
        shutil.copytree(stopped, folder, symlinks=True)
        for each in (folder / "run" / "checkpoints").glob("step-*"):
            poison(each)
            about = json.loads((each / "checkpoint.json").read_text())
            for file, facts in about["files"].items():
                content = (each / file).read_bytes()
                facts |= {"bytes": len(content), "sha256": sealed.sha256(content)}
            del about["sha256"]
            (each / "checkpoint.json").write_bytes(sealed.sealed(about))
        code = forked(folder, ["resume=run"], watched)
        results.append(code == 4 and harmless(folder) and "Traceback" not in words(folder))
        if not results[-1]:
            print(f"  {name}: exit {code}, {words(folder)[-300:]}")
    bench.row("malicious checkpoints with right checksums: exit 4, nothing ran", results)

    results = []
    for change in ("config", "command"):
        folder = bench.new()
        shutil.copytree(stopped, folder, symlinks=True)
        if change == "config":
            file = folder / "run" / "config.yaml"
            file.write_text(file.read_text().replace("trainer.models.mlp.MLP", "os.system"))
        else:
            file = folder / "run" / "environment.json"
            about = json.loads(file.read_text())
            about["command"] += [
                "+hydra.callbacks.evil._target_=os.system",
                "+hydra.callbacks.evil.command='touch canary'",
            ]
            file.write_text(json.dumps(about))
        code = forked(folder, ["resume=run"], watched)
        results.append(code in (2, 4) and harmless(folder))
    bench.row("a hostile config or command in a run folder: refused, nothing ran", results)


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple:
        return (os.system, ("touch canary",))


def _packed_state(folder: Path) -> None:
    with zipfile.ZipFile(folder / "state.pt") as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(folder / "state.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data + bytes(50_000_000))


def _header(length: int, text: bytes) -> bytes:
    return length.to_bytes(8, "little") + text


SPANS = {"a": [0, 8], "b": [4, 12]}
HEADER = {name: {"dtype": "F32", "shape": [2], "data_offsets": span} for name, span in SPANS.items()}
OVERLAP = _header(len(json.dumps(HEADER)), json.dumps(HEADER).encode()) + bytes(12)
POISONS: dict[str, Callable[[Path], object]] = {
    "a pickle that runs": lambda f: (f / "state.pt").write_bytes(pickle.dumps(Evil())),
    "a torch file that runs": lambda f: torch.save({"update": Evil()}, f / "state.pt"),
    "an old torch file that runs": lambda f: torch.save([Evil()], f / "state.pt", _use_new_zipfile_serialization=False),
    "a model as an object": lambda f: torch.save(torch.nn.Linear(2, 2), f / "state.pt"),
    "TorchScript": lambda f: torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(f / "state.pt")),
    "a packed archive that grows": _packed_state,
    "no state at all": lambda f: torch.save([1, 2], f / "state.pt"),
    "a header of a gigabyte": lambda f: (f / "model.safetensors").write_bytes(_header(1 << 30, b"{}")),
    "overlapping tensors": lambda f: (f / "model.safetensors").write_bytes(OVERLAP),
    "a pickle for weights": lambda f: (f / "model.safetensors").write_bytes(pickle.dumps(Evil())),
}


BROKEN = {  # file or folder in DLTRAIN_DATA/bad -> words of the one line about it; none where it is to be trained on
    "mnist_truncated_gz": ("train-images-idx3-ubyte.gz", "incomplete"),
    "idx_wrong_magic": ("train-images-idx3-ubyte", "0x00000899", "0x00000803"),
    "idx_label_count": ("1000", "990"),
    "idx_label_range": ("37", "17", "0..9"),
    "mnist_not_gzip": ("train-images-idx3-ubyte.gz", "HTML"),
    "mnist_missing_file": ("t10k-labels-idx1-ubyte",),
    "csv_missing_value.csv": ("line 12", "BMI"),
    "csv_text_in_numeric.csv": ("line 9", "Glucose", "high"),
    "csv_ragged.csv": ("line 7", "7", "9"),
    "csv_duplicate_header.csv": ("Glucose",),
    "csv_empty.csv": ("empty",),
    "csv_header_only.csv": ("0 rows",),
    "csv_no_header.csv": ("Outcome", "header"),
    "csv_bom_crlf_semicolon.csv": (),
    "csv_constant_column.csv": (),
    "csv_inf.csv": ("line 5", "Insulin"),
    "csv_one_row.csv": ("1 row",),
    "csv_latin1.csv": ("0xf6", "line 1", "data.encoding"),
    "csv_one_class.csv": ("Outcome",),
    "csv_target_out_of_range.csv": ("Outcome",),
    "csv_target_missing_column.csv": ("Outcome",),
    "csv_unclosed_quote.csv": ("line 5", "quote"),
    "csv_is_binary.csv": ("not text",),
    "csv_truncated.csv.gz": ("ends early",),
    "names_empty_name.csv": ("line 21", "empty"),
    "names_unicode.csv": (),
    "names_very_long.csv": (),
    "names_unknown_label_test.csv": ("Klingon", "line 21"),
    "names_extra_column.csv": ("line 21", "3 fields"),
}


def broken(bench: Bench) -> None:
    """Files that cannot be believed."""
    root = Path(os.environ.get("DLTRAIN_DATA", "")).absolute()
    if not (root / "bad").is_dir():
        print("broken files: none at hand, set DLTRAIN_DATA")
        return
    results = []
    for name, expected in list(BROKEN.items())[:: 4 if bench.quick else 1]:
        folder, path = bench.new(), root / "bad" / name
        if name.startswith("csv"):
            what = ["data=csv", f"data.path={path}", "data.target=Outcome"]
        elif name.startswith("names"):
            is_test = "test" in name
            train = root / "names" / "names_train.csv.gz" if is_test else path
            what = ["model=gru", "data=text", f"data.path={train}", *([f"data.test_path={path}"] if is_test else [])]
        else:
            shutil.copytree(path, folder / "data", ignore=shutil.ignore_patterns("*.md"))
            what = ["data=mnist", "data.root=data"]
        if name.startswith(("csv", "idx", "mnist")):
            what.append("model=logistic")
        if "latin1" in name:
            what[-2] = "data.target='Größe'"
        code = forked(folder, [*what, "epochs=1"], watched)
        said = words(folder)
        one_line = said.startswith("dltrain: error[3]") and said.count("\n") == 1
        told = all(word in said for word in expected)
        no_run = not list(folder.glob("outputs/*/*/checkpoints"))
        results.append(code == 3 and one_line and told and no_run if expected else code == 0)
        if not results[-1]:
            print(f"  {name}: exit {code}: {said[-400:]}")
    bench.row("broken files: exit 3, one line that names the place, or trained on where that can be", results)


def cost(bench: Bench) -> None:
    """What checkpoints add to an epoch of MNIST, where its files are."""
    if bench.quick or not (Path(os.environ.get("DLTRAIN_DATA", "")) / "MNIST").is_dir():
        return
    folder = bench.new()

    def timed() -> None:
        torch.set_num_threads(2)
        spent, save, end = 0.0, saver.Saver.save, saver.Saver.end_of_epoch
        began = time.perf_counter()

        def saved(self: saver.Saver) -> None:
            nonlocal spent
            start = time.perf_counter()
            save(self)
            spent += time.perf_counter() - start

        def ended(self: saver.Saver, *arguments: object) -> None:
            nonlocal spent, began
            end(self, *arguments)
            with open("share", "a") as file:
                file.write(f"{spent / (time.perf_counter() - began - spent)}\n")
            spent, began = 0.0, time.perf_counter()

        saver.Saver.save, saver.Saver.end_of_epoch = saved, ended

    code = forked(folder, ["model=simple_cnn", "data=mnist", "epochs=5", "hydra.run.dir=run"], timed)
    shares = [float(line) for line in (folder / "share").read_text().splitlines()]
    share = statistics.median(shares)
    bench.row(
        "what checkpoints add to an epoch of `model=simple_cnn data=mnist`: at most 2 %",
        [code == 0 and share <= 0.02],
        f"{share:.2%}, median of {len(shares)} epochs",
    )


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that does not outlive the trials."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """All parts, and the table."""
    quick = "--quick" in sys.argv
    named = [word for word in sys.argv[1:] if word != "--quick"]
    sys.argv[1:] = []
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    started = time.monotonic()
    with workplace() as folder:
        bench = Bench(folder, quick)
        for part in (kills, signals, damage, full_disk, broken, hostile, folders, fresh, sweeps, cost):
            if not named or part.__name__ in named:
                part(bench)
    seconds = time.monotonic() - started
    print(f"{seconds:.0f} s")
    if not quick and not named:
        write(bench, seconds)
    if any(good < total for _, good, total, _ in bench.rows):
        sys.exit("not all of it held")


def write(bench: Bench, seconds: float) -> None:
    """docs/RELIABILITY.md."""
    version = torch.__version__.split("+")[0]
    lines = [
        "# What runs survive",
        "",
        f"Made by `python benchmarks/faults.py` on {date.today()} in {seconds:.0f} s: torch {version}, a CPU.",
        "The unbroken run is `dltrain " + " ".join(TINY) + "`; what is compared is in the head of the script.",
        "",
        "| fault | held | remark |",
        "|---|---|---|",
        *(f"| {what} | {good}/{total} | {remark} |" for what, good, total, remark in bench.rows),
        "",
    ]
    (ROOT / "docs" / "RELIABILITY.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
