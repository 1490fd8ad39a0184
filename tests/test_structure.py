"""Rules for the whole package: who may import whom, and what imports pull in."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trainer

ROOT = Path(trainer.__file__).parent
LAYERS = (
    "errors files",
    "data",
    "models optim losses schedules metrics checks",
    "config engine",
    "runs build",
    "view",
    "training",
    "job",
    "trained explain",
    "sweeps",
    "cli",
    "api",
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms.split()}
FILES = {file.relative_to(ROOT): file.read_text(encoding="utf-8") for file in ROOT.rglob("*.py")}


def room_of(file):
    return file.parts[0].removesuffix(".py")


def imports(source, *, at_import_time=False):
    """Yield the dotted names that a file imports, everywhere or only outside functions and TYPE_CHECKING."""
    waiting = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        is_later = isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and "CHECKING" in ast.unparse(node))
        if not (at_import_time and is_later):
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("file", [f for f in FILES if room_of(f) in LAYER], ids=str)
def test_a_file_imports_from_its_own_room_and_the_layers_below_it(file):
    here = room_of(file)
    rooms = {name.split(".")[1] for name in imports(FILES[file]) if name.startswith("trainer.")}
    assert {room for room in rooms if LAYER.get(room, -1) >= LAYER[here]} <= {here}


def test_every_room_has_a_layer():
    assert {room_of(file) for file in FILES} == {*LAYER, "__init__", "__main__"}


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("hydra", {"config", "sweeps", "cli"}),
        ("omegaconf", {*LAYER} - {"engine", "data", "models", "optim", "losses", "schedules", "metrics", "errors"}),
    ],
)
def test_only_these_rooms_use_hydra_and_omegaconf(package, rooms):
    assert {room_of(f) for f, source in FILES.items() for i in imports(source) if i.split(".")[0] == package} <= rooms


@pytest.mark.parametrize("file", [f for f in FILES if room_of(f) != "runs"], ids=str)
def test_only_runs_names_the_files_of_a_run(file):
    names = "config.yaml environment.json summary.json metrics.csv errors.csv train.log "
    names += "checkpoints plots tensorboard sweep.jsonl"
    known = "|".join(map(re.escape, f"{names} .lock .hydra".split()))
    assert not re.findall(rf"""/ ?['"]?(?:{known})['"]""", FILES[file])


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "cli.start",
        "sweeps.sweep",
        "runs.index",
        "runs.leaderboard",
        "runs.diff",
        "runs.resume",
        "view.comparison",
        "config.targets",
        "data",
    ],
)
def test_modules_used_before_training_import_neither_torch_nor_pandas(module):
    code = f"import sys, trainer.{module}; assert not {{'torch', 'pandas', 'sklearn', 'matplotlib'}} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_training_loop_neither_prints_nor_writes():
    for name in ("loop", "update", "meter"):
        source = FILES[Path("engine", f"{name}.py")]
        assert "print(" not in source
        assert "open(" not in source


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--cfg", "job", "model=mlp", "optim.lr=0.1"]])
def test_showing_help_or_the_config_does_not_import_torch(arguments, tmp_path):
    code = (
        "import sys; sys.argv = ['dltrain', *sys.argv[1:]]\n"
        "from trainer.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not list(tmp_path.iterdir())


POSIX = {"fcntl", "resource", "termios", "pwd", "grp", "posix"}
ELSEWHERE = f"""
import multiprocessing.context, os, signal, sys
for module in {POSIX - {"posix"} | {"torch", "pandas", "sklearn", "matplotlib"}}:
    sys.modules[module] = None
for owner, names in (
    (os, "fork killpg setpgid setsid getuid pread sched_getaffinity register_at_fork"),
    (signal, "SIGKILL SIGHUP SIGCHLD SIGALRM pthread_sigmask"),
    (multiprocessing.context, "ForkServerContext ForkServerProcess"),
):
    for name in names.split():
        hasattr(owner, name) and delattr(owner, name)
import importlib
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if error.name not in sys.modules or sys.modules[error.name] is not None or error.name in {POSIX}:
            raise
        print(module)
"""


def test_every_module_imports_on_windows_and_macos():
    names = [".".join(["trainer", *file.with_suffix("").parts]) for file in FILES if file.name[:2] != "__"]
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    not_tried = done.stdout.split()  # because they import torch
    assert len(not_tried) < 0.6 * len(names)
    assert not {i.split(".")[0] for source in FILES.values() for i in imports(source, at_import_time=True)} & POSIX
