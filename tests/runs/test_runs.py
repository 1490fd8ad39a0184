import fcntl
import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timezone

import pytest

from trainer.config.keys import SLOTS
from trainer.errors import RunFolderError
from trainer.files import write_json
from trainer.runs import index
from trainer.runs.lock import is_running, lock
from trainer.view.table import Column, fitting, plain

NAMES = {"data": "digits", "model": "mlp", "loss": "auto", "optim": "adam", "scheduler": "cosine"}


def make(tmp_path, name, minute=0, **summary):
    """Make the folder of a run below outputs/."""
    folder = tmp_path / "outputs" / "2026-01-02" / name
    folder.mkdir(parents=True)
    when = datetime(2026, 1, 2, 10, minute, tzinfo=timezone.utc)
    environment = {"time": when.isoformat(), "names": NAMES | summary.pop("names", {})}
    write_json(folder / "environment.json", environment)
    (folder / ".lock").write_text("process 1 on nowhere")
    if summary:
        write_json(folder / "summary.json", {"status": "finished"} | summary)
    return folder


def reached(metric, value, higher_is_better, train_s=1.0):
    values = {metric: value}
    known = {"best": values, "test": values, "monitor": metric, "higher_is_better": higher_is_better}
    return known | {"train_s": train_s}


def rows(outcome, *keys):
    return [tuple(row[key] for key in keys) for row in json.loads(outcome.out)]


def names(outcome):
    return [os.path.basename(path) for (path,) in rows(outcome, "run")]


def test_the_table_shows_a_real_run_with_its_results(dltrain):
    done = dltrain("model=linear", "epochs=2")
    outcome = dltrain("runs")
    title, row = outcome.out.splitlines()
    assert title.split() == ["when", "model", "data", "validation", "test", "time", "state", "run"]
    for text in ("linear", "digits", f"{done.summary['best']['accuracy']:.4f}", "finished"):
        assert text in row
    assert row.split()[-1] == str(done.folder.relative_to(done.folder.parents[2]))
    (found,) = json.loads(dltrain("runs", "--json").out)
    assert found["test"] == done.summary["test"]
    assert found["seconds"] == done.summary["train_s"]


def test_the_states_of_runs(dltrain, tmp_path):
    make(tmp_path, "a-killed")
    make(tmp_path, "b-failed", 1, status="failed", error="no such file")
    make(tmp_path, "c-damaged", 2)
    (tmp_path / "outputs" / "2026-01-02" / "c-damaged" / "summary.json").write_text('{"status": "fini')
    in_progress = make(tmp_path, "d-running", 3, **reached("accuracy", 0.5, True))
    parts = [f"{slot}: {{_target_: x}}\n" for slot in SLOTS]
    (in_progress / "config.yaml").write_text("".join(["epochs: 7\n", *parts]))
    (in_progress / "metrics.csv").write_text("epoch,step\n1,10\n2,20\n")
    make(tmp_path, "e-finished", 4, **reached("accuracy", 0.9, True))
    odd = make(tmp_path, "f-odd", 5, best=3, test=None, monitor=["x"], train_s="soon")
    (odd.parent / "a file").write_text("")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs").rglob("*")}
    with lock(in_progress):
        outcome = dltrain("runs", "--json")
        assert "epoch 2/7" in dltrain("runs").out
    states = dict(rows(outcome, "run", "state"))
    assert [states[f"outputs/2026-01-02/{name}"] for name in ("a-killed", "b-failed", "c-damaged", "d-running")] == [
        "interrupted",
        "failed",
        "damaged",
        "running",
    ]
    del before[in_progress / ".lock"]  # written by this test
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert "f-odd" in dltrain("runs", "sort=metric").out
    assert "finished" in dltrain("runs", "state=finished", "last=1").out


def test_checking_whether_a_run_is_in_progress_does_not_lock_it(tmp_path):
    folder = make(tmp_path, "a")
    assert not is_running(folder)
    with lock(folder):
        assert is_running(folder)
        with pytest.raises(BlockingIOError), (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not is_running(folder)
    assert not is_running(tmp_path / "nowhere")


def test_a_run_can_start_while_its_lock_is_being_checked(tmp_path):
    folder = make(tmp_path, "a")
    with (folder / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with lock(folder):
            assert is_running(folder)


def test_sorting_and_filtering(dltrain, tmp_path):
    make(tmp_path, "a", 0, **reached("accuracy", 0.9, True, train_s=3))
    make(tmp_path, "b", 1, names={"model": "resnet"}, **reached("accuracy", 0.7, True, train_s=1))
    make(tmp_path, "c", 2, names={"model": "resnet18"}, **reached("accuracy", float("nan"), True, train_s=2))
    make(tmp_path, "d", 3, **reached("mse", 5.0, False))
    make(tmp_path, "e", 4, **reached("mse", 2.0, False))
    make(tmp_path, "f", 5)
    assert names(dltrain("runs", "--json")) == [*"abcdef"]
    ranked = names(dltrain("runs", "--json", "sort=metric"))
    assert [name for name in ranked if name in "abc"] == ["c", "b", "a"]
    assert [name for name in ranked if name in "de"] == ["d", "e"]
    assert names(dltrain("runs", "--json", "model=resnet*", "sort=time")) == ["b", "c"]
    assert names(dltrain("runs", "--json", "state=finished", "last=2")) == ["d", "e"]
    assert "none of the 6 runs matches" in dltrain("runs", "model=mpl").out


@pytest.mark.parametrize(
    ("argument", "code", "message"),
    [
        ("sort=metrics", 2, "expected one of when, what, metric, time, state"),
        ("modl=mlp", 2, "did you mean model"),
        ("last=0", 2, "expected a number of rows"),
        ("root=nowhere", 6, "root=nowhere: no such folder"),
        ("sweep=last", 4, "there is no sweep in"),
        ("--jsn", 2, "did you mean json"),
    ],
)
def test_an_invalid_setting_gets_one_line(dltrain, argument, code, message):
    outcome = dltrain("runs", argument)
    assert outcome.code == code
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_no_runs_get_one_friendly_line(dltrain, tmp_path):
    outcome = dltrain("runs")
    assert outcome.code == 0
    assert outcome.out == f"no runs in {tmp_path}/outputs yet; start one with dltrain\n"
    assert not list(tmp_path.iterdir())


def test_jobs_of_a_sweep_are_counted_and_shown_on_request(dltrain):
    dltrain("-m", "model=linear", "seed=1,2", "epochs=1")
    outcome = dltrain("runs")
    assert "and 2 jobs of 1 sweep" in outcome.out
    folder = outcome.out.rsplit("sweep=", 1)[1].strip()
    for name in (folder, "last"):
        assert [path.rsplit("/", 1)[1] for (path,) in rows(dltrain("runs", f"sweep={name}", "--json"), "run")] == [
            "0",
            "1",
        ]


def test_a_folder_in_use_is_refused_with_its_owner_and_left_unchanged(tmp_path):
    owner = "process 7 on elsewhere, since 2026-01-02"
    (tmp_path / ".lock").write_text(owner)
    with (tmp_path / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # like earlier versions
        assert is_running(tmp_path)
        with pytest.raises(RunFolderError, match=f"{tmp_path} is in use by {owner}$"), lock(tmp_path):
            pass
    assert (tmp_path / ".lock").read_text() == owner
    assert not is_running(tmp_path)


def test_a_narrow_terminal_drops_the_least_important_columns():
    columns = [Column("a", ["1234"], keep=1), Column("b", ["12"], right=True, keep=2), Column("c", ["12345"], keep=3)]
    assert plain(columns) == ["a      b  c", "1234  12  12345"]
    assert [c.title for c in fitting(columns, 15)] == ["a", "b", "c"]
    assert [c.title for c in fitting(columns, 14)] == ["b", "c"]
    assert [c.title for c in fitting(columns, 4)] == ["b"]  # the widest leaves no room for the others


def test_listing_three_hundred_runs_is_fast_and_imports_neither_torch_nor_hydra(tmp_path):
    for number in range(300):
        make(tmp_path, f"{number:03}", number % 60, **reached("accuracy", number / 300, True))
    code = (
        "import sys, time; sys.argv = ['dltrain', 'runs', 'sort=metric']\n"
        "from trainer.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'matplotlib', 'pandas', 'rich'} & {*sys.modules}\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 301
    assert float(done.stderr) < 0.8  # takes about 0.17 s


def test_a_run_that_started_later_comes_later(tmp_path):
    late, early = make(tmp_path, "a", 9), make(tmp_path, "b", 3)
    assert [found.folder for found in index.every(tmp_path / "outputs")] == [early, late]
