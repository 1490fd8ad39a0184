import json
import subprocess
from pathlib import Path

import pytest
import yaml

from trainer import cli
from trainer.cli.commands.completion import candidates
from trainer.cli.commands.schema import schema
from trainer.config.schema import CONF


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ([""], {"eval", "predict", "model=", "epochs=", "photos/", "my.csv"}),
        (["ev"], {"eval"}),
        (["model=res"], {"model=resnet", "model=resnet18"}),
        (["optim=sgd", "optim.m"], {"optim.momentum="}),
        (["precision=b"], {"precision=bf16"}),
        (["deterministic="], {"deterministic=true", "deterministic=false"}),
        (["data.path=my"], {"data.path=my.csv"}),
        (["resume="], {"resume=last", "resume=outputs/2026-11-28/10-00-00-mlp-iris"}),
        (["eval", ""], {"run=", "last"}),
        (["predict", "inp"], {"input="}),
        (["find-lr", "model=ml"], {"model=mlp"}),
        (["--what"], set()),
    ],
)
def test_how_a_word_may_go_on(tmp_path, monkeypatch, words, some):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "outputs/2026-11-28/10-00-00-mlp-iris"):
        Path(folder).mkdir(parents=True)
    Path("my.csv").touch()
    found = {*candidates(words)}
    assert some <= found
    assert all(each.startswith(words[-1]) for each in found)
    if words[-1]:
        assert len(found) <= max(3, len(some))


def test_bash_completes_what_follows_an_equals_sign(capsys, tmp_path):
    assert cli.run(["completion", "bash"]) == 0
    script = f"""dltrain() {{ printf '%s\\n' model=resnet model=resnet18; echo "$@" > {tmp_path}/asked; }}
    compopt() {{ :; }}
    {capsys.readouterr().out}
    COMP_LINE='dltrain data=mnist model=res' COMP_POINT=28
    _dltrain
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout == "resnet resnet18\n", done.stderr
    assert (tmp_path / "asked").read_text() == "completion query data=mnist model=res\n"
    assert cli.run(["completion", "tcsh"]) == 2


def test_every_recipe_fits_the_schema_and_a_typo_does_not():
    found = schema()
    json.dumps(found)
    for file in (CONF / "experiment").glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        assert content.keys() <= found["properties"].keys(), file
        chosen = [entry for entry in content["defaults"] if not isinstance(entry, str)]  # another recipe, or _self_
        for (key, name), *_ in (entry.items() for entry in chosen):
            kinds = found["properties"]["defaults"]["items"]["anyOf"]
            assert any(name in kind.get("properties", {}).get(key, {}).get("enum", ()) for kind in kinds), (file, key)
    assert "epoch" not in found["properties"]
    assert found["properties"]["augment"]["properties"]["flip"] == {
        "description": "images: probability of a horizontal flip",
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.0,
    }
