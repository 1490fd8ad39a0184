"""Which settings HParams shows, and how a run that fails and resumes ends there."""

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from trainer.config.keys import axis_values
from trainer.runs.ledger import Ledger
from trainer.view.board import open_board
from trainer.view.board.columns import hyper_parameters

CFG = OmegaConf.create(
    {
        "model": {"_target_": "a.B", "hidden": [512, 256], "cell": None},
        "data": {"batch_size": 32},
        "clip": float("inf"),
        "compile": False,
        "plots": "auto",
    }
)
NAMES = {"model": "mlp", "data": "digits"}


def columns_of_job(folder, axes, command):
    Ledger(folder).append("sweep", values=axis_values(axes))
    return hyper_parameters(CFG, NAMES, ["dltrain", *command], folder / "0")


def test_a_single_run_shows_all_settings_that_are_not_off(tmp_path):
    found = hyper_parameters(CFG, NAMES, [], tmp_path / "0")
    assert found == {
        "model": "mlp",
        "data": "digits",
        "model.hidden[]": "[512, 256]",
        "data.batch_size": 32,
        "compile": False,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["0.001", "1"], 1.0),
        (["inf", "1"], "1"),
        (["[64,64]", "1"], "1"),
        (["true", "1"], "1"),
        (["nan", "1"], "1"),
    ],
)
def test_a_column_of_a_sweep_holds_numbers_in_all_jobs_or_text_in_all(tmp_path, values, expected):
    axes = [["model=mlp", "model=gru"], [f"++clip={value}" for value in values], ["epochs=3"]]
    found = columns_of_job(tmp_path, axes, ["--config-dir=conf", "model=mlp", "++clip=1", "epochs=3"])
    assert found == {"model": "mlp", "clip": expected}


def test_a_sweep_of_one_job_is_shown_as_a_run(tmp_path):
    assert columns_of_job(tmp_path, [["epochs=3"]], ["epochs=3"])["model"] == "mlp"


def test_a_run_in_the_folder_of_an_unrelated_sweep_is_shown_as_a_run(tmp_path):
    assert columns_of_job(tmp_path, [["seed=1", "seed=2"]], ["epochs=3"])["model"] == "mlp"


def test_a_failed_run_that_is_resumed_ends_successfully(tmp_path):
    def status():
        events = EventAccumulator(str(tmp_path)).Reload()
        (content,) = [events.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content]
        return metadata.parse_session_end_info_plugin_data(content).status

    board = open_board("basic", tmp_path, {"a": True}, [], None)
    board.fail()
    assert status() == api_pb2.STATUS_FAILURE
    board = open_board("basic", tmp_path, {"a": True}, [], 3)
    board.end(4, {"best/loss": 1.0}, [])
    board.close()
    assert status() == api_pb2.STATUS_SUCCESS
