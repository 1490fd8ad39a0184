"""What a run records about its surroundings."""

import shutil
import subprocess
from pathlib import Path

import pytest

from trainer.runs.environment import environment

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

COMMIT = "git -c user.email=a@b -c user.name=x commit -qm"
RUNS_SOMETHING = {  # how a repository can have `git status` run a program
    "filter": "git config filter.evil.clean 'touch CANARY; cat' && echo '* filter=evil' > .gitattributes",
    "process filter": "git config filter.evil.process 'touch CANARY' && echo '* filter=evil' > .gitattributes",
    "attributes in .git": "git config filter.evil.clean 'touch CANARY; cat'"
    " && echo '* filter=evil' > .git/info/attributes",
    "included config": "git config include.path evil && printf '[core]\\nfsmonitor=touch CANARY\\n' > .git/evil",
    "fsmonitor": "git config core.fsmonitor 'touch CANARY; echo'",
    "hook": "printf '#!/bin/sh\\ntouch CANARY' > .git/hooks/post-index-change && chmod +x .git/hooks/*",
    "hooks elsewhere": "mkdir h; printf '#!/bin/sh\\ntouch CANARY' > h/post-index-change && chmod +x h/*"
    " && git config core.hooksPath h",
    "remote of a partial clone": "git config remote.origin.url . && git config remote.origin.promisor true"
    " && git config remote.origin.uploadpack 'touch CANARY' && git config extensions.partialClone origin"
    " && git config core.repositoryFormatVersion 1"
    " && rm .git/objects/$(git rev-parse HEAD:a.txt | sed 's|^..|&/|')",
    "submodule": f"git init -q sub && cd sub && echo x > b && git add b && {COMMIT} s"
    " && git config core.fsmonitor 'touch ../CANARY; echo' && cd .. && git add sub 2>/dev/null",
    "alias and pager": "git config alias.status '!touch CANARY' && git config core.pager 'touch CANARY'",
}


def sh(command):
    subprocess.run(["bash", "-c", command], check=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A working folder that is a repository with one committed file."""
    monkeypatch.chdir(tmp_path)
    sh("git init -q . && git config user.email a@b && git config user.name x && echo hi > a.txt && echo 'b = 1' > b.py")
    sh("git add . && git commit -qm one")
    return tmp_path


def recorded():
    return environment(["dltrain"], "cpu")["git"]


def test_commit_and_uncommitted_changes(repository):
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert recorded() == {"commit": commit, "dirty": False}
    sh("mkdir -p outputs/2026-01-01/a runs/b && touch outputs/2026-01-01/a/config.yaml runs/b/metrics.csv")
    assert recorded() == {"commit": commit, "dirty": False}  # what runs write
    sh("touch -d 2020-01-01 a.txt")
    assert recorded() == {"commit": commit, "dirty": False}  # the same content
    sh("echo new > c.py")
    assert recorded() == {"commit": commit, "dirty": True}  # a module that no commit has
    sh("echo c.py > .git/info/exclude; rm c.py; echo changed > a.txt")
    assert recorded() == {"commit": commit, "dirty": True}
    sh("git add a.txt")
    assert recorded() == {"commit": commit, "dirty": True}
    sh("git commit -qm two")
    assert recorded()["dirty"] is False
    assert recorded()["commit"] != commit


def test_a_linked_worktree_has_its_own_commit(repository, monkeypatch):
    sh("git worktree add -q ../linked -b other && cd ../linked && echo more > d.txt && git add . && git commit -qm d")
    first = recorded()
    monkeypatch.chdir(repository.parent / "linked")
    assert recorded()["commit"] != first["commit"]
    assert recorded()["dirty"] is False


@pytest.mark.parametrize("how", RUNS_SOMETHING)
def test_nothing_of_a_repository_runs(repository, how):
    sh(RUNS_SOMETHING[how])
    sh("touch -d 2021-01-01 a.txt")  # git has to look at its content
    index = Path(".git/index").read_bytes()
    recorded()
    assert not [*repository.rglob("CANARY")]
    assert Path(".git/index").read_bytes() == index


def test_outside_a_repository_and_without_git_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recorded() is None
    monkeypatch.setenv("PATH", "")
    assert recorded() is None
