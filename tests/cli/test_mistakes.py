"""What people are likely to mistype: either it is understood, or one line says what works."""

import shlex

import pytest

from trainer import cli
from trainer.cli.shorthand import spelled_out
from trainer.config import command_line
from trainer.config.check import checked

UNDERSTOOD = {  # typed -> what it means; None: as it stands
    "train model=mlp": "model=mlp",
    "train": "",
    "epochs = 3": "epochs=3",
    "epochs= 3": "epochs=3",
    "epochs =3": "epochs=3",
    "'optim.lr = 0.1'": "optim.lr=0.1",
    "lr=0.01": "optim.lr=0.01",
    "learning_rate=0.01": "optim.lr=0.01",
    "batch_size=16": "data.batch_size=16",
    "optimizer=sgd": "optim=sgd",
    "dataset=mnist": "data=mnist",
    "optim=SGD": "optim=sgd",
    "optim=Adam": "optim=adam",
    "data=MNIST": "data=mnist",
    "data=Fashion-MNIST": "data=fashion_mnist",
    "model=ResNet": "model=resnet",
    "my.csv target=y": "data=csv data.path=my.csv data.target=y model=mlp",
    "data=my.csv target=y model=MLP": "data=csv data.path=my.csv data.target=y model=mlp",
    "data=csv data.path=~/my.csv data.target=y": "data=csv \"data.path='~/my.csv'\" data.target=y model=mlp",
    "data=csv 'data.path=a (1).csv' target=y": "data=csv \"data.path='a (1).csv'\" data.target=y model=mlp",
    "plots=false": None,
    "plots=off tensorboard=off": None,
    "tensorboard=false": None,
    "loss.weight=balanced": None,
    "loss.label_smoothing=0.1": None,
    "data.balance=true": None,
    "model=mynet": "--config-dir=conf model=mynet",
    "seed=1 --config-dir conf model=mynet": "--config-dir=conf seed=1 model=mynet",
}
ANSWERED = {  # typed -> exit code, part of the answer, a command that works
    "resnet": (2, "did you mean model=resnet?", "model=resnet"),
    "sgd": (2, "did you mean optim=sgd?", "optim=sgd"),
    "mnist": (2, "did you mean data=mnist?", "data=mnist"),
    "epochs 3": (2, "did you mean epochs=...?", "epochs=3"),
    "--epochs 3": (2, "did you mean epochs=...?", "epochs=3"),
    "--epochs=3": (2, "did you mean epochs=...?", "epochs=3"),
    "--optim.lr 0.1": (2, "did you mean optim.lr=...?", "optim.lr=0.1"),
    "-e 3": (2, "dltrain --help lists them", "epochs=3"),
    "--resume": (2, "did you mean resume=...?", "resume=last"),
    "epoch=3": (2, "did you mean epochs?", "epochs=3"),
    "opt=sgd": (2, "did you mean optim?", "optim=sgd"),
    "nesterov=true": (
        2,
        "unknown key nesterov",
        "optim=sgd optim.nesterov=true",
    ),
    "betas=[0.9,0.99]": (2, "did you mean optim.betas=[0.9,0.99]?", "optim.betas=[0.9,0.99]"),
    "test_fraction=0.3": (2, "did you mean data.test_fraction=0.3?", "data.test_fraction=0.3"),
    "data.batchsize=16": (2, "did you mean data.batch_size?", "data.batch_size=16"),
    "model.lr=0.1": (2, "did you mean optim.lr=0.1?", "optim.lr=0.1"),
    "model=cnn": (2, "did you mean simple_cnn or strided_cnn?", "model=simple_cnn"),
    "model=CNN": (2, "did you mean simple_cnn or strided_cnn?", "model=strided_cnn"),
    "model=resnet50": (2, "did you mean resnet or resnet18?", "model=resnet18"),
    "model=perceptron": (2, "no such model; choose from", "model=mlp"),
    "model=null": (2, "model is required", "model=mlp"),
    "experiment=mnist": (2, "did you mean mnist_best or mnist_cnn or mnist_fast?", "experiment=mnist_cnn"),
    "data=my2.csv": (3, "my2.csv: no such file or folder", "data=csv data.path=my.csv data.target=y model=mlp"),
    "nowhere/": (3, "no such file or folder", None),
    "data.path=my.csv": (2, "unknown key data.path", "data=csv data.path=my.csv data.target=y model=mlp"),
    "my.csv": (2, "add target=COLUMN; choose from x, y", None),
    "rows.json": (2, "add target=COLUMN; choose from x, y, z", "data=csv data.path=rows.json data.target=y model=mlp"),
    "my.csv target=Y": (3, "no column 'Y'; did you mean y?", None),
    "a.zip": (3, "unpack it first", None),
    "a.xlsx": (3, "save it as .csv first", None),
    "https://example.org/my.csv": (3, "download it first", None),
    "optim.lr=0,01": (2, "several values make a sweep; add -m", "optim.lr=0.01"),
    "optim.lr=abc": (2, "optim.lr must be a finite number, got abc", "optim.lr=0.1"),
    "epochs=0": (2, "expected a whole number of at least 1", "epochs=1"),
    "epochs=2.5": (2, "epochs must be a whole number", "epochs=2"),
    "augment.flip=50": (2, "expected a number of at least 0 and at most 1", "augment.flip=0.5"),
    "model=mlp model.hidden=64": (2, "model.hidden must be a list [...], got 64", "model=mlp model.hidden=[64]"),
    "plots=[foo]": (2, "no such picture", "plots=[curves]"),
    "metrics=[foo]": (2, "choose from accuracy, auc", "metrics=[accuracy]"),
    "model=mlp,foo -m": (2, "no such model", None),
    "-m seed=1 2 3": (2, "'2': expected key=value", None),
    "-m seed=1-3": (2, "seed must be a whole number", None),
    "--config-dir nowhere model=mynet": (2, "no such folder", None),
    "evl run=last": (2, "did you mean dltrain eval?", None),
    "predict last photo.png": (4, "there is no run", None),
    "export last onnxx": (2, "'onnxx'", None),
    "compare foo bar": (4, "there is no run at", None),
    "find-lr --model mlp": (2, "dltrain find-lr: '--model'", None),
    "explain mlp": (2, "dltrain explain: 'mlp'", None),
    "eval epochs=3": (2, "only the data of the run's config can be changed", None),
    "--help modle": (2, "did you mean model?", None),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("my.csv", "a (1).csv"):
        (tmp_path / name).write_text("y,x\n" + "1,20\n2.5,30\n" * 20)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mynet.yaml").write_text("_target_: mynet.Net\n")
    (tmp_path / "rows.json").write_text('{"rows": [{"x": 1, "y": 2, "z": 3}, {"x": 2, "y": 3, "z": 4}]}')
    for name in ("a.zip", "a.xlsx"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")


def config_of(words):
    flags = command_line.parse(words)
    lines, config_dir = spelled_out(flags.overrides, flags.config_dir)
    cfg, _ = checked(lines, config_dir)
    return {key: value for key, value in cfg.items() if key != "hydra"}


@pytest.mark.parametrize("typed", UNDERSTOOD)
def test_what_is_meant_is_understood(place, typed):
    words = [word for word in shlex.split(typed) if word != "train"]
    meant = UNDERSTOOD[typed]
    config = config_of(words)
    if meant is not None:
        assert config == config_of(shlex.split(meant.replace("'", '"\'"') if "'" in meant else meant))


@pytest.mark.parametrize("typed", ANSWERED)
def test_one_line_says_what_works(place, typed, capsys):
    code, answer, works = ANSWERED[typed]
    assert cli.run(shlex.split(typed)) == code
    printed = capsys.readouterr().err
    assert answer in printed
    assert printed.count("\n") == 1
    assert len(printed) < 400
    if works:
        config_of(shlex.split(works))
