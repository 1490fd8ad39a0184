"""Writing whole or not at all, under errors and under SIGKILL, and the JSON of runs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from trainer.files import finite, read_json, remove, replacing, write_json


def fail(*_):
    raise OSError(28, "No space left on device")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_was_written_appears_whole(tmp_path, kind, durable):
    path = tmp_path / "model.onnx"
    with replacing(path, durable=durable) as part:
        assert part.parent == path.parent
        assert part.name.startswith(".")
        assert part.suffix == path.suffix
        {"file": lambda: part.write_text("new"), "folder": part.mkdir, "link": lambda: part.symlink_to(".")}[kind]()
        assert not path.exists()
    assert names(tmp_path) == [path.name]
    assert (path.is_symlink(), path.is_dir()) == (kind == "link", kind in ("folder", "link"))


@pytest.mark.parametrize("step", ["pathlib.Path.write_text", "os.fsync", "os.replace"])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="No space"), replacing(path, durable=True) as part:
        part.write_text("new")
    assert names(tmp_path) == ["a"]
    assert path.read_text() == "old"


def test_what_was_written_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_block_ends(
    tmp_path, monkeypatch
):
    path, synced = tmp_path / "a", []

    def fsync(handle):
        synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path, durable=True) as part:
        part.write_text("new")
    assert synced == [(part.name, False), (tmp_path.name, True)]


@pytest.mark.parametrize("moment", ["half way", "before the name", "after the name"])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, moment):
    path = tmp_path / "a.json"
    write_json(path, {"is": "old"})
    code = f"""
import os, signal
from pathlib import Path
from trainer import files
kill, replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL), os.replace
if {moment!r} == "half way":
    Path.write_text = lambda self, text, **_: (self.write_bytes(text.encode()[:7]), kill())
os.replace = kill if {moment!r} == "before the name" else lambda *names: (replace(*names), kill())
files.write_json(Path({str(path)!r}), {{"is": "new"}})
"""
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -signal.SIGKILL
    assert read_json(path) == {"is": "new" if moment == "after the name" else "old"}


def test_two_processes_that_write_the_same_file_do_not_mix(tmp_path):
    path = tmp_path / "a"
    with replacing(path) as ours:
        ours.write_text("ours")
        code = f"from trainer.files import *\nwith replacing(Path({str(path)!r})) as part: part.write_text('theirs')"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"
    assert names(tmp_path) == ["a"]


def test_files_have_the_permissions_of_the_user(tmp_path):
    mask = os.umask(0o027)
    try:
        write_json(tmp_path / "a", {})
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_remove_takes_a_link_and_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name in ("link", "folder", "nothing"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["kept"]


CONTENT = {"loss": float("nan"), "best": [1.5, (float("inf"), -float("inf"))], 3: {"é": None, "n": 2, "on": True}}


def test_numbers_that_json_does_not_have_are_text_in_a_run_and_null_for_programs(tmp_path):
    write_json(tmp_path / "a", CONTENT)
    assert (tmp_path / "a").read_bytes().decode().splitlines()[:2] == ["{", '  "loss": "nan",']
    assert read_json(tmp_path / "a") == {
        "loss": "nan",
        "best": [1.5, ["inf", "-inf"]],
        "3": {"é": None, "n": 2, "on": True},
    }
    assert json.loads(json.dumps(finite(CONTENT, null=True), allow_nan=False)) == {
        "loss": None,
        "best": [1.5, [None, None]],
        "3": {"é": None, "n": 2, "on": True},
    }


@pytest.mark.parametrize("content", [None, b"", b'{"status": "fini', b"[1, 2]", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_empty(tmp_path, content):
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    assert read_json(tmp_path / "a") == {}
