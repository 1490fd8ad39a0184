"""Mutated run folders, sweep folders, configs, data files and command lines, in a process each.

    pytest -n 0 -m faults tests/faults/test_fuzz.py                                        # 500, the same each time
    FUZZ=20000 pytest -n 0 -m faults tests/faults/test_fuzz.py --hypothesis-seed=1         # others, half an hour

Whatever is in them, a command ends within 20 s of CPU time and 2 GiB, with a documented exit code and without a
traceback; it writes nothing outside its folder, starts nothing but git (and fc-list, for fonts), and imports nothing
that lies there.
"""

import csv
import gc
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer import cli
from trainer.config import check, compose
from trainer.sweeps import sweep

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

CODES = {0, 2, 3, 4, 5, 6, 7, 8, 9, 129, 130, 143}
TINY = ["data=iris", "model=mlp", "model.hidden=[4]", "plots=off", "tensorboard=off", "checkpoint.min_seconds=0"]
SECONDS, BYTES = 20, 2 * 2**30  # of CPU time
PATIENCE_S = 120  # for one that waits; others may want the cores too
ESCAPE = "\x1b]0;owned\x07"
HOSTILE = [
    *(None, True, -1, 0, 2**31, 10**400, -(10**18), 1e308, float("nan"), float("inf"), "", " ", "nan", "-inf", "x"),
    *([], {}, [[]], {"a": {}}, ["x"] * 1000, "x" * 20_000, "../../victim", "/etc/passwd", "a\nb", ESCAPE, "\udcff"),
    *(
        "${oc.env:HOME}",
        "${nope}",
        "canary.Net",
        "os.system",
        "trainer.models.mlp.MLP",
        "hydra.searchpath=[pkg://canary]",
    ),
    *(
        "hydra.mode=MULTIRUN",
        "--config-dir=/",
        "-m",
        "resume=.",
        "\u202e",
        "é" * 300,
        "0x10",
        "1_0",
        "2026-13-45T99:99",
    ),
]
PARTS = [
    "seed=",
    "data=",
    "model=",
    "optim.lr=",
    "epochs=",
    "data.path=",
    "+x=",
    "~model",
    "metrics=",
    "plots=",
    "a.b.c=",
]

hostile = st.sampled_from(HOSTILE)
text = st.one_of(st.sampled_from([str(value) for value in HOSTILE]), st.text(max_size=30))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run that can be resumed, a finished one, a sweep, data, and somebody's files beside them."""
    folder = tmp_path_factory.mktemp("fuzz")
    before, patch = Path.cwd(), pytest.MonkeyPatch()
    os.chdir(folder)
    try:
        for name in ("whole", "stopped"):
            assert cli.run([*TINY, "epochs=2", f"hydra.run.dir={name}"]) == 0
        (folder / "stopped" / "summary.json").unlink()
        shutil.copytree(Path(__file__).parents[1] / "fixtures" / "0.1.0" / "sweep", folder / "sweep")
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "model").mkdir()
        (folder / "conf" / "experiment" / "e.yaml").write_text(
            "# @package _global_\n# e\ndefaults:\n  - override /optim: sgd\nepochs: 1\noptim: {lr: 0.1}\n"
        )
        (folder / "conf" / "model" / "m.yaml").write_text("# m\n_target_: trainer.models.mlp.MLP\nhidden: [3]\n")
        rows = [["a", "b", "c", "y"], *([str(i), f"{i * i % 7}.5", "xy"[i % 2], "nop"[i % 3]] for i in range(60))]
        with (folder / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        for name in ("cat", "dog"):
            (folder / "photos" / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (8, 8), (number * 40, 9, 9)).save(folder / "photos" / name / f"{number}.png")
        (folder / "canary.py").write_text("import os\nos.write(2, b'Traceback: canary.py was imported')\n")
        warm = tmp_path_factory.mktemp("warm") / "work"
        copy(folder, warm, sorted(os.listdir(folder)))
        os.chdir(warm)
        patch.setattr(check, "composed", remembered)
        for command in WARM:  # the processes are forked from this one, with all that is imported by now
            assert cli.run(command) == 0, command
    finally:
        os.chdir(before)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all of it
    yield folder
    gc.unfreeze()
    patch.undo()


def remembered(name, choices, known={}):  # noqa: B006
    """Compose as trainer/config/compose.py does, but the same choices only once: half of a command's time."""
    key = name, *choices, str(compose.loader().get_search_path())
    if key not in known:
        known[key] = compose.composed(name, choices)
    return known[key]


def run_alone(place, case, command):
    """Run a command in a copy of the folder and in a process of its own; return its exit code and what it printed."""
    output = case / "output"
    process = os.fork()
    if process == 0:
        try:
            os.setpgid(0, 0)
            os.chdir(case / "work")
            out = os.open(output, os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8", "replace")
            sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), "utf-8", "replace")
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE_S)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
            sys.addaudithook(watch(str(case)))
            sweep.context = lambda: None  # starts that server early, before the command line is checked
            code = cli.run(command)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            os.write(2, f"Traceback: {error!r}".encode(errors="replace"))
            code = 99
        os._exit(code)
    _, status = os.waitpid(process, 0)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # a sweep's server, which would go on importing torch
    return os.waitstatus_to_exitcode(status), output.read_bytes().decode(errors="replace") if output.exists() else ""


def watch(inside):
    """Return an audit hook that ends the process when it writes outside or starts a program.

    Temporary files are fine, but for the folder that links lead to.
    """
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    changed = {"os.rename": 1, "os.link": 1, "os.symlink": 1}  # which argument names what is changed; else the first
    changed |= dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate"), 0)
    fine = ("/dev/", "/proc/self", os.path.realpath("/tmp"), inside)

    def is_outside(path):
        if not isinstance(path, (str, bytes)):
            return False
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = os.path.join(os.path.realpath(folder), name)
        return "victim" in real or not real.startswith(fine)

    def hook(event, arguments):
        wrong = False
        if event == "open":
            wrong = isinstance(arguments[2], int) and bool(arguments[2] & writes) and is_outside(arguments[0])
        elif event in changed:
            wrong = is_outside(arguments[changed[event]])
        elif event == "subprocess.Popen":
            wrong = str(arguments[0]) not in ("git", "fc-list")
        elif event in ("os.system", "os.exec", "os.posix_spawn", "pty.spawn"):
            wrong = True
        if wrong:
            os.write(2, f"Traceback: {event} {arguments}".encode(errors="replace"))
            os._exit(98)

    return hook


class Case(NamedTuple):
    """A command, after a change in the folder, of which it needs only some parts."""

    parts: list[str]
    change: Callable[[Path], None]
    command: list[str]


def copy(place, to, parts):
    """Copy parts of the folder, with what any command line may name; configs come from outside the folder."""
    to.mkdir(parents=True)
    shutil.copyfile(place / "canary.py", to / "canary.py")
    for part in parts:
        if (place / part).is_dir():
            whither = to.parent if part == "conf" else to
            shutil.copytree(place / part, whither / part, symlinks=True, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(place / part, to / part)


def try_in(place, case, parts, change, command):
    copy(place, case / "work", parts)
    (case / "victim").mkdir()
    (case / "victim" / "thesis").write_text("kept")
    change(case / "work")
    code, printed = run_alone(place, case, command)
    about = f"{command}: exit {code}\n{printed[-2000:]}"
    assert code in CODES or (code == 1 and command[0] == "reproduce"), about
    assert "Traceback" not in printed, about
    assert "\x1b]0;" not in printed, about
    assert [path.name for path in (case / "victim").iterdir()] == ["thesis"], about
    assert (case / "victim" / "thesis").read_text() == "kept", about


def places(content, path=()):
    """Return the path to every value in nested data."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(found for key, value in items for found in places(value, (*path, key)))]


def replaced(content, path, value):
    if not path:
        return value
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value
    return content


@st.composite
def damage(draw, file):
    """Return a function that changes one file: its bytes, its kind, or a value in it."""
    kind = draw(st.sampled_from(["value", "value", "value", "cut", "bytes", "gone", "folder", "link", "pipe", "zero"]))
    share, noise, value = draw(st.floats(0, 1)), draw(st.binary(max_size=20)), draw(hostile)

    def change(work):
        path = work / file
        if not path.is_file():
            return
        content = path.read_bytes()
        at = int(share * len(content))
        if kind == "cut":
            path.write_bytes(content[:at])
        elif kind == "bytes":
            path.write_bytes(content[:at] + noise + content[at + len(noise) :])
        elif kind == "value":
            change_value(path, share, value)
        else:
            path.unlink()
            if kind == "folder":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(work.parent / "victim" / "thesis")
            elif kind == "pipe":
                os.mkfifo(path)
            elif kind == "zero":
                path.symlink_to("/dev/zero")

    return change


def change_value(path, share, value):
    """Replace one value of a JSON, YAML or CSV file, or one word of another."""
    content = path.read_text(errors="surrogateescape")
    if path.suffix in (".json", ".jsonl", ".yaml"):
        lines = content.splitlines() if path.suffix == ".jsonl" else [content]
        number = int(share * len(lines)) % len(lines)
        loaded = yaml.safe_load(lines[number]) if path.suffix == ".yaml" else json.loads(lines[number])
        found = places(loaded)
        where = found[int(share * 997) % len(found)]
        loaded = replaced(loaded, where, value)
        if path.suffix == ".yaml":
            lines[number] = yaml.safe_dump(loaded, allow_unicode=True)
        else:
            lines[number] = json.dumps(loaded)
        content = "\n".join(lines) + "\n"
    else:
        cells = re.split(r"([,\n])", content)
        cells[int(share * len(cells)) % len(cells)] = str(value)
        content = "".join(cells)
    path.write_text(content, errors="surrogateescape" if "\udcff" in content else "replace")


RUN_FILES = ["config.yaml", "environment.json", "summary.json", "metrics.csv", "train.log", ".hydra/overrides.yaml"]
RUN_FILES += [f"checkpoints/{name}" for name in ("last/checkpoint.json", "best/checkpoint.json", "best/data.json")]
RUN_FILES += ["checkpoints/last/state.pt", "checkpoints/best/model.safetensors"]
RUNS = ["whole", "stopped"]
DRAWN_RUNS = [["compare", "whole", "stopped", "output=o.png"], ["explain", "run={}"]]
ON_RUNS = [
    ["eval", "run={}"],
    ["predict", "run={}", "input=t.csv", "output=-"],
    ["export", "run={}", "format=safetensors"],
    ["resume={}", "epochs=3"],
    ["runs", "root=."],
    ["compare", "whole", "stopped", "--json"],
]
DRAWN_SWEEP = ["compare", "sweep=sweep"]
ON_SWEEPS = [
    ["compare", "sweep=sweep", "--json"],
    ["runs", "sweep=sweep"],
    ["eval", "run=sweep"],
    ["-m", "resume=sweep", "dry_run=true"],
]
TRAIN = [*TINY[3:], "epochs=1"]
ON_CONFIG = ["--config-dir=../conf", "experiment=e", "model=m", "data=iris", *TINY[3:]]
ON_TABLE = ["data=csv", "data.path=t.csv", "data.target=y", "model=linear", *TRAIN]
ON_IMAGES = ["data=image_folder", "data.path=photos", "data.workers=0", "model=mlp", *TRAIN]
WARM = [
    *([word.format("stopped") for word in command] for command in [*ON_RUNS, *DRAWN_RUNS] if command[0] != "predict"),
    *(DRAWN_SWEEP, ON_TABLE, ON_IMAGES),
]


@st.composite
def cases(draw):
    kind = draw(
        st.sampled_from(
            ["run", "run", "run", "run", "sweep", "sweep", "config", "table", "table", "image", "line", "line"]
        )
    )
    if kind == "run":
        name, words = draw(st.sampled_from(RUNS)), draw(st.sampled_from([*ON_RUNS * 3, *DRAWN_RUNS]))
        change = draw(damage(f"{name}/{draw(st.sampled_from(RUN_FILES))}"))
        parts = [*(RUNS if words[0] in ("runs", "compare") else [name]), *(["t.csv"] if words[0] == "predict" else [])]
        return Case(parts, change, [word.format(name) for word in words])
    if kind == "sweep":
        file = draw(st.sampled_from(["sweep/sweep.jsonl", "sweep/0/summary.json", "sweep/0/config.yaml"]))
        return Case(["sweep"], draw(damage(file)), draw(st.sampled_from([*ON_SWEEPS * 3, DRAWN_SWEEP])))
    if kind == "config":
        file = draw(st.sampled_from(["../conf/experiment/e.yaml", "../conf/model/m.yaml"]))
        return Case(["conf"], draw(damage(file)), ON_CONFIG)
    if kind == "table":
        predict = ["predict", "run=whole", "input=t.csv"]
        return Case(["t.csv", "whole"], draw(damage("t.csv")), draw(st.sampled_from([predict, predict, ON_TABLE])))
    if kind == "image":
        return Case(["photos"], draw(damage("photos/cat/0.png")), ON_IMAGES)
    words = draw(st.lists(st.builds(str.__add__, st.sampled_from([*PARTS, "", "--"]), text), min_size=1, max_size=3))
    first = draw(
        st.sampled_from([[], [], ["eval", "run=whole"], ["runs"], ["compare"], ["predict", "run=whole"], ["-m"]])
    )
    cheap = [*TINY, "epochs=1", "limit_batches=1"] if not first or first == ["-m"] else []
    words = [word.replace("\0", "") for word in words]
    command = [*first, *cheap, *words, *(["dry_run=true"] if first == ["-m"] else [])]
    return Case([] if cheap else ["whole"], lambda work: None, command)


def test_whatever_a_folder_or_a_command_line_holds(bench, place, tmp_path_factory, monkeypatch):
    for variable in ("XDG_STATE_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(variable, str(tmp_path_factory.mktemp("home")))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    number = int(os.environ.get("FUZZ", 500))
    held, kinds = [], {}  # what failed, one of each kind

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=number == 500,
        suppress_health_check=[*HealthCheck],
    )
    @given(cases())
    def tried(case):
        folder = tmp_path_factory.mktemp("case")
        try:
            try_in(place, folder, *case)
            held.append(True)
        except AssertionError as error:
            held.append(False)
            lines = str(error).splitlines()
            kind = re.sub(r"\W|\d", "", f"{case.command[:1]}{lines[-1]}")[:60]
            kinds.setdefault(kind, "\n".join([str(case.command), *lines[-30:]]))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    try:
        tried()
    finally:
        torch.set_num_threads(threads)
    print(*kinds.values(), sep="\n\n")
    what = (
        "mutated run folders, sweep folders, configs, data files and command lines: a documented code, at most 20 s and"
    )
    bench.row(f"{what} 2 GiB, no traceback, nothing outside the folder written, started or imported", held)
