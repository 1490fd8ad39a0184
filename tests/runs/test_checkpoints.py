"""The checkpoint store alone; tests/faults kills whole runs and fills their disk."""

import json
import os

import pytest
import torch
from torch import nn

from trainer.errors import CheckpointError, FileSystemError
from trainer.runs import sealed
from trainer.runs.checkpoints import Store, load_weights


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "checkpoints", keep=1)


def save(store, step, value=1.0, **about):
    store.save(step, {"model": {"w": torch.full((3,), value)}}, {"step": step, "noise": torch.rand(4)}, about)


def names(store):
    return sorted(path.name for path in store.folder.iterdir())


def test_a_saved_checkpoint_is_read_back(store):
    save(store, 7, 2.5, epoch=3)
    weights, state, about, _ = store.newest()
    assert torch.equal(weights["model"]["w"], torch.full((3,), 2.5))
    assert state["step"] == 7
    assert (about["step"], about["epoch"]) == (7, 3)


def test_the_last_checkpoint_and_keep_before_it_are_kept(store):
    for step in (1, 2, 3, 10):
        save(store, step)
    assert names(store) == ["last", "step-00000003", "step-00000010"]
    assert os.readlink(store.folder / "last") == "step-00000010"
    store.keep = 0
    save(store, 11)
    assert names(store) == ["last", "step-00000011"]


def test_best_weights_are_kept_while_a_checkpoint_refers_to_them(store):
    first = store.save_best(1, {"w": torch.zeros(1)}, {})
    save(store, 1, best=first)
    second = store.save_best(2, {"w": torch.ones(1)}, {})
    save(store, 2, best=second)
    assert names(store) == ["best", first, second, "last", "step-00000001", "step-00000002"]
    save(store, 3, best=second)
    assert names(store) == ["best", second, "last", "step-00000002", "step-00000003"]
    assert store.read("best").weights["model"]["w"] == 1


def test_the_same_step_may_be_saved_again(store):
    for value in (1.0, 2.0, 3.0):
        save(store, 5, value)
    assert store.newest().weights["model"]["w"][0] == 3
    assert names(store) == ["last", "step-00000005-2", "step-00000005-3"]


def test_files_follow_the_umask(store):
    mask = os.umask(0)
    os.umask(mask)
    save(store, 1)
    for file in (store.folder / "step-00000001").iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("file", ["model.safetensors", "state.pt", "checkpoint.json"])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: bytes([b[0] ^ 1]) + b[1:], None])
def test_a_damaged_checkpoint_is_skipped(store, file, damage):
    save(store, 1, 1.0)
    save(store, 2, 2.0)
    path = store.folder / "step-00000002" / file
    path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
    said = []
    assert store.newest(said.append).weights["model"]["w"][0] == 1
    assert "step-00000002" in said[0]
    (store.folder / "step-00000001" / "checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match="all checkpoints are damaged"):
        store.newest()


def test_leftovers_of_an_interrupted_write_are_deleted(store):
    (store.folder / ".step-00000001").mkdir(parents=True)
    (store.folder / ".step-00000001" / "state.pt").write_bytes(b"half")
    assert store.newest() is None
    save(store, 1)
    assert names(store) == ["last", "step-00000001"]


def test_an_empty_store_has_no_newest_checkpoint(store):
    assert store.newest() is None


def test_a_failed_write_leaves_earlier_checkpoints_intact(store, monkeypatch):
    save(store, 1)
    before = names(store)

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(FileSystemError, match=r"step-00000002: .*bytes.*No space left"):
                save(store, 2)
        assert names(store) == before
    assert store.newest().about["step"] == 1


def test_a_link_out_of_the_store_is_refused(store, tmp_path):
    save(store, 1)
    (tmp_path / "elsewhere").mkdir()
    (store.folder / "best").symlink_to("../elsewhere")
    with pytest.raises(CheckpointError, match=r"links to '../elsewhere', expected a checkpoint in the same folder"):
        store.read("best")


def test_a_manifest_with_a_path_outside_is_refused(store):
    save(store, 1)
    path = store.folder / "step-00000001" / "checkpoint.json"
    about = json.loads(path.read_text())
    about["files"]["../../secret"] = about["files"]["state.pt"]
    del about["sha256"]
    path.write_bytes(sealed.sealed(about))
    with pytest.raises(CheckpointError, match="secret"):
        store.read("step-00000001")


def test_a_changed_manifest_is_detected(store):
    save(store, 1)
    path = store.folder / "step-00000001" / "checkpoint.json"
    path.write_text(path.read_text().replace('"step": 1', '"step": 3'))
    with pytest.raises(CheckpointError, match=r"checkpoint.json is missing or damaged"):
        store.read("step-00000001")


def test_a_later_format_is_refused(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "FORMAT", 2)
        save(store, 1)
    with pytest.raises(CheckpointError, match="format 2; this version reads 1"):
        store.read("step-00000001")


def test_weights_of_another_model_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"another model: .*weight.*shape"):
        load_weights(nn.Linear(2, 2), nn.Linear(3, 2).state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match=r"Missing.*bias"):
        load_weights(nn.Linear(2, 2), {"weight": torch.zeros(2, 2)}, tmp_path)


def test_tied_weights_stay_tied(store):
    def tied():
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    first, second = tied(), tied()
    store.save_best(1, first.state_dict(), {})
    load_weights(second, store.read("best").weights["model"], store.folder)
    assert torch.equal(first(torch.ones(1, 3)), second(torch.ones(1, 3)))
    assert second[0].weight is second[1].weight


def test_channels_last_weights_stay_channels_last(store):
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    store.save_best(1, model.state_dict(), {})
    other = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    load_weights(other, store.read("best").weights["model"], store.folder)
    assert torch.equal(model.weight, other.weight)
    assert other.weight.is_contiguous(memory_format=torch.channels_last)
