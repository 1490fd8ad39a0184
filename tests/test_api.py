"""`trainer.train`, `trainer.load` and `trainer.sweep`: the bits of the command line, and nothing left behind."""

import gc
import importlib.util
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import trainer
from trainer import cli
from trainer.errors import CheckpointError, ConfigError, DataError
from trainer.view.terminal import Terminal

SETTINGS = ["model=mlp", "model.hidden=[8]", "epochs=3", "plots=off", "tensorboard=off"]
GUIDE = Path(__file__).parent.parent / "docs" / "guide" / "python.md"


def weights(folder):
    return (folder / "checkpoints" / "best" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make a folder with a table, and a run of the command line on it."""
    folder = tmp_path_factory.mktemp("door")
    rows = np.random.default_rng(0).normal(size=(120, 2))
    table = pd.DataFrame(
        {"a b": rows[:, 0], "count": np.arange(120) % 7, "kind": np.array(["x", "y, z", "0"])[np.arange(120) % 3]}
    )
    table["class"] = np.where(rows.sum(1) + (table["kind"] == "x") > 0, "yes", "no")
    table.loc[5, "count"] = np.nan
    table.to_csv(folder / "table.csv", index=False)
    words = [
        "data=csv",
        "data.path=table.csv",
        "data.target=class",
        "data.missing=mean",
        "hydra.run.dir=cli",
        *SETTINGS,
    ]
    done = subprocess.run([sys.executable, "-m", "trainer", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(place, monkeypatch, one_thread):
    monkeypatch.chdir(place)
    return place


def again(**settings):
    return trainer.train("table.csv", "target=class", *SETTINGS, "data.missing=mean", **settings)


def state():
    """Return all that a run might change in the process."""
    root = logging.getLogger()
    return {
        "numbers": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "signals": [
            signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        ],
        "logging": (root.handlers[:], root.level, logging.getLogger("matplotlib").level),
        "torch": (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "process": (os.getcwd(), dict(os.environ), gc.isenabled(), sys.stdout, sys.stderr, threading.excepthook),
    }


def test_weights_equal_those_of_the_command_line_and_the_process_is_as_it_was(here):
    class Handler(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    said, handler = [], Handler()
    logging.getLogger().addHandler(handler)
    torch.set_default_dtype(torch.float64)
    gc.disable()
    try:
        before = state()
        with torch.no_grad():
            runs = [again(), again()]
        assert state() == before
        logging.warning("mine")
        assert said == ["mine"]
    finally:
        gc.enable()
        torch.set_default_dtype(torch.float32)
        logging.getLogger().removeHandler(handler)
    assert runs[0].folder != runs[1].folder
    assert [weights(run.folder) for run in runs] == 2 * [weights(here / "cli")]
    summary = json.loads((here / "cli" / "summary.json").read_text())
    assert runs[0].metrics == {"val": summary["best"], "test": summary["test"], "baseline": summary["baseline"]}
    assert runs[0].intervals == {name: tuple(bounds) for name, bounds in summary["test_interval"].items()} != {}
    written = pd.read_csv(here / "cli" / "metrics.csv").drop(columns="seconds")
    pd.testing.assert_frame_equal(runs[0].history.drop(columns="seconds"), written)
    command = json.loads((runs[0].folder / "environment.json").read_text())["command"]
    assert command[:3] == ["dltrain", "data=csv", "data.path=table.csv"]


def test_a_run_in_a_thread_has_the_same_bits_and_waits_for_another(here):
    found, before = [], state()
    threads = [threading.Thread(target=lambda: found.append(again())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state() == before
    assert [weights(run.folder) for run in found] == 2 * [weights(here / "cli")]


def test_a_prediction_is_that_of_the_command_line(here):
    table = pd.read_csv("table.csv").set_index(pd.Index(range(500, 620)))
    assert cli.run(["predict", "run=cli", "input=table.csv", "output=predicted.csv"]) == 0
    written = pd.read_csv("predicted.csv", dtype=str).iloc[:, 4:]
    model, before = trainer.load("cli"), state()
    found = model.predict(table)
    assert state() == before
    assert list(found.index) == [*range(500, 620)]
    for frame in (found, model.predict("table.csv"), model.predict(table[table.columns[::-1]])):
        rounded = frame.apply(lambda column: column.map("{:.6f}".format) if column.dtype == float else column)
        assert rounded.to_numpy().tolist() == written.to_numpy().tolist()
        assert list(frame) == list(written) == ["prediction", "probability no", "probability yes"]
    assert np.allclose(found.iloc[:, 1:].sum(axis=1), 1, rtol=0, atol=1e-12)
    assert not isinstance(model.module, torch.nn.Linear)
    assert model.class_names == ("no", "yes")
    with pytest.raises(DataError, match="no column 'kind'"):
        model.predict(table.drop(columns="kind"))
    with pytest.raises(DataError, match=r"the DataFrame as CSV: line 3, column 'a b': 'word' is not a number"):
        model.predict(table.astype({"a b": object}).replace({"a b": {table["a b"].iloc[1]: "word"}}))


def test_a_frame_trains_like_its_file_and_is_there_for_resuming(here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv(here / "table.csv")
    run = trainer.train(*SETTINGS, "data.missing=mean", data=table, target="class")
    assert weights(run.folder) == weights(here / "cli")
    assert re.search(
        r"frame  120 rows, without their index, are in outputs/frames/\w{12}\.csv", capsys.readouterr().out
    )
    (saved,) = (tmp_path / "outputs" / "frames").glob("*.csv")
    assert "0.0" not in saved.read_text().split()  # whole numbers stay whole beside a missing one
    assert trainer.train(f"resume={run.folder}", epochs=5).history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert cli.run(["eval", f"run={run.folder}"]) == 0


def test_arrays_are_the_columns_of_training(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    table = pd.DataFrame(rows, columns=["u", "v", "w"]).assign(y=rows @ [1.0, 2.0, 3.0])
    trainer.train("model=linear", "plots=off", "tensorboard=off", "optim.lr=0.1", "epochs=30", data=table, target="y")
    model = trainer.load()
    found = model.predict(rows)
    assert list(found) == ["prediction"]
    assert np.corrcoef(found["prediction"], table["y"])[0, 1] > 0.99
    pd.testing.assert_frame_equal(found, model.predict(table))
    assert model.class_names == ()
    with pytest.raises(DataError, match=r"\(N, 3\) of the columns u, v, w"):
        model.predict(rows[:, :2])


def test_a_single_column_is_a_series_a_list_or_an_array(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": np.linspace(-1, 1, 40).round(3), "word": ["a", "b", "c", "d"] * 10})
    settings = ["plots=off", "tensorboard=off", "epochs=2", "optim.lr=0.1"]
    for column, header in (("x", True), ("word", True), ("x", False)):
        frame = table[[column]].assign(y=3 * table["x"] + 1)
        frame.to_csv("one.csv", index=False, header=header)
        words = ["one.csv", "target=y"] if header else ["one.csv", "data.header=false", "target=2"]
        model = trainer.load(trainer.train("model=linear", *words, *settings))
        expected = model.predict(frame[[column]])
        assert expected["prediction"].nunique() > 2
        if header:
            pd.testing.assert_frame_equal(model.predict(frame[column]), expected)
            pd.testing.assert_frame_equal(model.predict(frame), expected)
            pd.testing.assert_frame_equal(model.predict(frame.loc[7]), expected.loc[[7]])
            with pytest.raises(DataError, match=f"no column '{column}'; columns: other"):
                model.predict(frame[column].rename("other"))
        later = frame[column].set_axis(range(5, 45)).rename(None)
        pd.testing.assert_frame_equal(model.predict(later), expected.set_axis(later.index))
        for cells in (frame[column].to_list(), frame[column].to_numpy(), frame[[column]].to_numpy()):
            pd.testing.assert_frame_equal(model.predict(cells), expected)


def test_a_dry_run_returns_nothing_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": np.arange(40) % 7, "y": np.arange(40) % 2})
    settings = {"data": table, "target": "y", "model": "linear", "dry_run": True}
    assert trainer.train(**settings) is None
    assert "dry run: one batch went through everything" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    trainer.train(**settings | {"dry_run": False, "epochs": 1, "plots": "off", "tensorboard": "off"})
    assert trainer.train(**settings) is None
    assert len(list(tmp_path.glob("outputs/frames/*.csv"))) == 1  # that of the run
    monkeypatch.setattr("trainer.sweeps.sweep.sweep", lambda *_: None)  # as that of a sweep does
    assert trainer.sweep(**settings | {"seed": "1,2"}) is None


def test_words_with_decimal_commas_stand_beside_the_numbers_of_a_frame(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": np.arange(40) * 1.125, "y": np.arange(40) % 2})
    words = table.assign(z=(table["x"] / 9).map("{:.3f}".format).str.replace(".", ","))
    with pytest.raises(DataError, match=r"data.decimal=comma$"):
        trainer.train(data=words, target="y", dry_run=True)
    settings = {"epochs": 1, "plots": "off", "tensorboard": "off", "data.decimal": "comma"}
    run = trainer.train("model=linear", data=words, target="y", **settings)
    (saved,) = (tmp_path / "outputs" / "frames").glob("*.csv")
    read = pd.read_csv(saved, decimal=",")
    assert read["z"].tolist() == pytest.approx((read["x"] / 9).tolist())
    assert len(trainer.load(run).predict(words)) == 40


def test_images_are_arrays_or_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 120, size=(24, 8, 8, 3), dtype=np.uint8)
    pixels[::2] += 120
    for place, image in enumerate(pixels):
        folder = Path("photos", "bright" if place % 2 == 0 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place:02}.png")
    settings = {"model": "mlp", "epochs": 5, "plots": "off", "tensorboard": "off", "data": {"workers": 0}}
    run = trainer.train("photos/", **{"optim.lr": 0.01}, **settings)
    model, paths = trainer.load(run), [f"photos/bright/{place:02}.png" for place in range(0, 24, 2)]
    by_path, by_array = model.predict(paths), model.predict(pixels[::2])
    assert by_path["prediction"].tolist() == ["bright"] * 12
    assert list(by_path.index) == paths
    assert by_path.to_numpy().tolist() == by_array.to_numpy().tolist()
    with pytest.raises(DataError, match="integers up to 255"):
        model.predict(pixels / 255)


def test_texts_are_texts_even_if_they_name_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("aaa\nbbb\n")
    texts = pd.DataFrame(
        {"text": [letter * (3 + place) for place in range(20) for letter in "ab"], "label": ["A", "B"] * 20}
    )
    texts.to_csv("texts.csv", index=False, header=False)
    settings = {"optim": {"lr": 0.05}, "epochs": 5, "plots": "off", "tensorboard": "off"}
    trainer.train("data=text", "data.path=texts.csv", model="gru", **settings)
    model = trainer.load()
    assert model.predict(Path("lines.txt"))["prediction"].tolist() == ["A", "B"]
    assert len(model.predict("lines.txt")) == 1
    found = model.predict(pd.Series(["aaaa", "", "bbbb"], index=[7, 8, 9]))
    assert found["prediction"].fillna("none").to_dict() == {7: "A", 8: "none", 9: "B"}
    assert found.loc[8].isna().all()
    with pytest.raises(DataError, match="a column of a DataFrame"):
        model.predict(texts.rename(columns=str.upper))


@pytest.mark.parametrize(
    ("words", "settings", "kind", "message"),
    [
        (["epoch=3"], {}, ConfigError, "unknown key epoch; did you mean epochs"),
        (
            ["data=iris"],
            {"data": pd.DataFrame({"u": [1], "v": [1]}), "target": "u"},
            ConfigError,
            "data=iris: the DataFrame in",
        ),
        (["table.csv"], {"data": pd.DataFrame({"u": [1]}), "target": "u"}, ConfigError, "leave one of the two out"),
        ([], {"epochs": 1.5}, ConfigError, "epochs must be a whole number"),
        (["--help"], {}, ConfigError, "only --config-dir"),
        (["-m"], {"seed": "0,1"}, ConfigError, "only --config-dir"),
        ([], {"seed": object()}, ConfigError, "expected text, a number"),
        ([], {"seed": (0, 1)}, ConfigError, "seed"),
        (["missing.csv"], {}, DataError, "no such file"),
        (["table.csv"], {"target": "a, b ($)"}, DataError, "no column 'a, b \\(\\$\\)'"),
        ([pd.DataFrame()], {}, ConfigError, "is passed as data="),
        ([], {"resume": "nowhere"}, CheckpointError, "there is no run at"),
        ([], {"data": pd.DataFrame([[1, 2]], columns=[["a", "a"], ["b", "c"]])}, ConfigError, "several levels"),
        ([], {"data": pd.DataFrame([[1, 2]], columns=["a", "a"])}, ConfigError, r"frame.loc\[:, ~frame.columns.dup"),
        ([], {"data": pd.DataFrame({"u": [1]}), "target": "u"}, ConfigError, "a target and at least one feature"),
        ([], {"data": pd.Series([1])}, ConfigError, "a DataFrame with the column to predict, got Series"),
        (["data.header=false"], {"data": pd.DataFrame({"u": [1], "v": [2]})}, ConfigError, "data.header: says how"),
    ],
)
def test_an_error_is_one_of_errors_py_and_the_process_is_as_it_was(words, settings, kind, message, here):
    before = state()
    with pytest.raises(kind, match=message):
        trainer.train(*words, **settings)
    assert state() == before


def test_ctrl_c_saves_the_run_and_is_a_keyboard_interrupt(here, monkeypatch):
    from trainer.view.log import RunLog

    epoch = RunLog.epoch

    def interrupted(log, *report):
        epoch(log, *report)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "epoch", interrupted)
        with pytest.raises(KeyboardInterrupt, match="interrupted in epoch 2 after 2 updates and saved"):
            again()
    assert weights(trainer.train(resume="last").folder) == weights(here / "cli")


def test_another_signal_then_reaches_the_handler_of_the_caller(here, monkeypatch):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    monkeypatch.setattr("trainer.view.log.RunLog.epoch", lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        with pytest.raises(KeyboardInterrupt, match="terminated"):
            again()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_a_hydra_program_keeps_its_own_hydra(here):
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    (here / "own").mkdir()
    (here / "own" / "mine.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(here / "own"), version_base="1.3"):
        ours = GlobalHydra.instance().hydra
        again()
        assert GlobalHydra.instance().hydra is ours
        assert compose("mine") == {"a": 1}


def test_importing_is_lazy():
    code = "import sys, trainer; trainer.train; assert not {'torch', 'pandas', 'hydra', 'omegaconf'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (Path(trainer.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError):
        trainer.trian  # noqa: B018


def test_the_code_of_the_guide_runs_as_a_script_that_guards_nothing(real_data, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "script.py").write_text("\n".join([*blocks, "board.to_csv('board.csv', index=False)"]))
    shutil.copy(real_data / "tables" / "titanic.csv", tmp_path)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no column 'Survive'; did you mean Survived?" in done.stdout
    assert "frame  601 rows" in done.stdout
    board = pd.read_csv(tmp_path / "board.csv")
    (written,) = (tmp_path / "outputs" / "sweeps").glob("*/*/leaderboard.csv")
    pd.testing.assert_frame_equal(board, pd.read_csv(written))
    assert sorted(board["model"]) == ["linear", "mlp"]
    assert board["seeds"].tolist() == [2, 2]


@pytest.mark.skipif(not importlib.util.find_spec("nbconvert"), reason="pip install -e .[dev]")
def test_a_notebook_shows_a_line_per_epoch(here, tmp_path):
    shutil.copy(here / "table.csv", tmp_path)
    cells = [
        f"import trainer\nrun = trainer.train('table.csv', *{SETTINGS}, target='class', **{{'data.missing': 'mean'}})",
        "run.history[['epoch', 'val/loss']]",
        "trainer.load('last').predict('table.csv').head(3)",
        "try:\n    trainer.train('table.csv', target='clas')\nexcept trainer.errors.DataError as e:\n    print(e)",
    ]
    book = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"cell_type": "code", "id": f"c{n}", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
            for n, cell in enumerate(cells)
        ],
    }
    (tmp_path / "book.ipynb").write_text(json.dumps(book))
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "book.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = [
        output for cell in json.loads((tmp_path / "book.ipynb").read_text())["cells"] for output in cell["outputs"]
    ]
    results = ["\n", *(line for output in outputs for line in output.get("data", {}).get("text/plain", []))]
    lines = "".join([line for output in outputs for line in output.get("text", [])] + results).splitlines()
    assert len(lines) < 60
    assert not [line for line in lines if "\r" in line or "\x1b" in line]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    assert [line.split()[0] for line in lines if re.match(r" +\d+/3 ", line)] == ["1/3", "2/3", "3/3"]
    first, _ = sorted(tmp_path.glob("outputs/2*/*"))
    assert weights(first) == weights(here / "cli")


def test_a_notebook_gives_commands_a_terminal_that_redraws_nothing(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("CI", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    assert Terminal().is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not Terminal().is_terminal
