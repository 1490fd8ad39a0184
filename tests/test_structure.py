"""Rules about the code as a whole: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trainer

ROOT = Path(trainer.__file__).parent
FILES = {".".join(["trainer", *f.relative_to(ROOT).with_suffix("").parts]): f for f in ROOT.rglob("*.py")}
FILES = {name.removesuffix(".__init__"): file for name, file in FILES.items()}
LEAVES = (
    "trainer.data",
    "trainer.models",
    "trainer.optim",
    "trainer.losses",
    "trainer.metrics",
    "trainer.schedules",
    "trainer.errors",
    "trainer.runs.directions",
)
MAY_IMPORT_HYDRA = {
    "trainer.cli.start",
    "trainer.config.command_line",
    "trainer.config.compose",
    "trainer.config.schema",
    "trainer.config.launchers",
    "trainer.config.check",
    "trainer.sweep.job",
    "trainer.sweep.launch",
    "trainer.sweep.search",
    "trainer.sweep.sweep",
}


def imports(file):
    """Modules imported anywhere in a file, but not for types alone."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            found.update(
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in FILES else str(node.module)
                for alias in node.names
            )
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text(encoding="utf-8")))
    return found


GRAPH = {name: {i for i in imports(file) if i.split(".")[0] == "trainer"} for name, file in FILES.items()}


def test_there_is_no_import_cycle():
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {' -> '.join([*path, name])}"
        if name not in done:
            path.append(name)
            for other in GRAPH.get(name, ()):
                visit(other)
            path.pop()
            done.add(name)

    for name in GRAPH:
        visit(name)
    assert "trainer.engine.update" in GRAPH["trainer.engine.loop"]  # the graph is not empty


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith(LEAVES)])
def test_leaves_import_nothing_of_ours_but_errors_and_other_files_of_data_or_optim(name):
    allowed = {"trainer.errors"}
    for folder in ("trainer.data", "trainer.optim"):
        if name.startswith(folder):
            allowed.update(other for other in FILES if other.startswith(f"{folder}."))
    assert GRAPH[name] <= allowed


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("trainer.explain.")])
def test_the_graph_of_a_model_knows_nothing_of_runs(name):
    assert all(other.startswith("trainer.explain.") for other in GRAPH[name])


@pytest.mark.parametrize("name", FILES)
def test_only_the_door_imports_hydra(name):
    if name not in MAY_IMPORT_HYDRA:
        assert not {i for i in imports(FILES[name]) if i.split(".")[0] == "hydra"}


def test_nobody_imports_train_but_a_job():
    assert [name for name, used in GRAPH.items() if "trainer.train" in used] == ["trainer.job"]
    assert [name for name, used in GRAPH.items() if "trainer.cli" in used] == []


@pytest.mark.parametrize(
    ("part", "others"),
    [
        ("build", ["trained", "commands"]),
        ("build_update", ["build", "commands"]),
        ("checkpoint", ["saving", "trained", "commands"]),
        ("compiled", []),
        ("run", ["start", "job", "resume", "runs", "differences", "trained", "commands", "sweep"]),
        ("searching", []),
        ("trained", ["commands"]),
        ("view", ["commands", "sweep"]),
    ],
)
def test_what_a_run_is_made_of_is_put_together_in_train_alone(part, others):
    users = {name for name, used in GRAPH.items() if any(f"{u}.".startswith(f"trainer.{part}.") for u in used)}
    allowed = {"trainer.train", *(f"trainer.{other}" for other in others)}
    users = {"trainer." + name.split(".")[1] if name.split(".")[1] in ("commands", "sweep") else name for name in users}
    assert {name for name in users if not name.startswith(f"trainer.{part}")} <= allowed


def test_the_loop_knows_no_config_and_writes_nothing():
    reached, waiting = set(), ["trainer.engine.loop"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += GRAPH[name]
    assert reached == {
        "trainer.engine.loop",
        "trainer.engine.meter",
        "trainer.metrics",
        "trainer.engine.update",
        "trainer.errors",
    }
    for name in reached:
        source = FILES[name].read_text()
        assert "print(" not in source
        assert "open(" not in source
        assert "omegaconf" not in source


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--cfg", "job", "model=mlp", "optim.lr=0.1"]])
def test_a_look_at_the_config_does_not_import_torch(arguments, tmp_path):
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
