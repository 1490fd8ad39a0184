import gzip

import pytest
from PIL import Image

from trainer.cli.shorthand import spelled_out
from trainer.errors import ConfigError, DataError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "titanic.csv").write_text("Survived,Age\n1,20\n0,30\n")
    (tmp_path / "my table (1).csv").write_text("y,x\n1,20\n")
    (tmp_path / "reviews.tsv").write_text("sentence\tlabel\n" + "a film that never ends\t0\nwhat a joy to see\t1\n" * 3)
    (tmp_path / "reviews.json").write_text("[]")
    (tmp_path / "16.csv").write_text((tmp_path / "reviews.tsv").read_text(), encoding="utf-16")
    (tmp_path / "towns.csv").write_text("town,people\nParis,2\nRome,3\n")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(b"y,x\n1,20\n"))
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mynet.yaml").write_text("_target_: mynet.Net\n")
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / "1.png")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("titanic.csv target=Survived", "data=csv data.path=titanic.csv data.target=Survived model=mlp"),
        ("data=titanic.csv target=Survived", "data=csv data.path=titanic.csv data.target=Survived model=mlp"),
        ("./titanic.csv target=Age lr=0.1", "data=csv data.path=./titanic.csv data.target=Age optim.lr=0.1 model=mlp"),
        ("~/titanic.csv target=Age", "data=csv data.path='~/titanic.csv' data.target=Age model=mlp"),
        ("my\\ table\\ (1).csv target=y", "data=csv data.path='my table (1).csv' data.target=y model=mlp"),
        ("packed.csv.gz target=y", "data=csv data.path=packed.csv.gz data.target=y model=mlp"),
        ("reviews.tsv", "data=text data.path=reviews.tsv model=gru"),
        ("reviews.json", "data=text data.path=reviews.json model=gru"),
        ("16.csv data.encoding=utf-16", "data=text data.path=16.csv data.encoding=utf-16 model=gru"),
        ("towns.csv resume=r", "data=csv data.path=towns.csv resume=r"),
        ("photos", "data=image_folder data.path=photos"),
        ("photos/ model=resnet", "data=image_folder data.path=photos/ model=resnet"),
        ("data=iris", "data=iris model=mlp"),
        ("data=names epochs=2", "data=names epochs=2 model=gru"),
        ("data=iris model=linear", "data=iris model=linear"),
        ("data=iris experiment=pima_mlp", "data=iris experiment=pima_mlp"),
        ("data=mnist", "data=mnist"),
        ("data=iris,wine", "data=iris,wine model=mlp"),
        ("data=iris,digits", "data=iris,digits"),
        ("epochs = 3", "epochs=3"),
        ("epochs= 3 seed =1", "epochs=3 seed=1"),
        ("data.path= epochs=3", "data.path= epochs=3"),
        ("optimizer=sgd learning_rate=0.1 batch_size=8", "optim=sgd optim.lr=0.1 data.batch_size=8"),
        ("resnet", "resnet"),
        ("resume=last lr=0.1", "resume=last optim.lr=0.1"),
    ],
)
def test_what_is_typed_is_spelled_out(place, typed, meant):
    words = [word.replace("\\", " ") for word in typed.replace("\\ ", "\\").split()]
    lines, config_dir = spelled_out(words, None)
    assert " ".join(lines) == meant
    assert config_dir is None


def test_a_folder_of_ones_own_configs_is_found(place):
    assert spelled_out(["data=digits", "model=mynet"], None) == (["data=digits", "model=mynet"], "conf")
    assert spelled_out(["model=mynet,mlp"], None)[1] == "conf"
    assert spelled_out(["model=mynet"], "other")[1] == "other"
    assert spelled_out(["model=mlp"], None)[1] is None


@pytest.mark.parametrize(
    ("typed", "error", "message"),
    [
        ("nowhere.csv", DataError, "nowhere.csv: no such file or folder"),
        ("data=no/where", DataError, "no such file or folder"),
        ("https://example.org/x.csv", DataError, "download it first"),
        ("a.zip", DataError, "unpack it first"),
        ("a.xlsx", DataError, "save it as .csv first"),
        ("reviews.tsv data.separator=ab", ConfigError, "separator='ab': expected auto"),
        ("titanic.csv data.encoding=uft-8", ConfigError, "encoding=uft-8 is not known"),
        ("photos/cat/1.png", ConfigError, "a single image; expected a folder"),
    ],
)
def test_what_cannot_be_data_is_refused(place, typed, error, message):
    (place / "a.zip").write_bytes(b"PK\x03\x04")
    (place / "a.xlsx").touch()
    with pytest.raises(error, match=message):
        spelled_out(typed.split(), None)
