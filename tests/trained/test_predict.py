"""What a trained model says: drawings become what it saw, tables come back with columns, texts are words or lines."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from trainer.data._image.drawing import Drawing, fit_drawing, framed
from trainer.data._image.encoder import ImageEncoder, fit_images
from trainer.data._image.file import like_training
from trainer.data._image.idx import read_idx
from trainer.errors import DataError

MNIST_LIKE = Drawing(background=0.0, side=20.0, by_mass=True, centre=(14.0, 14.0), fill=0.3)
ENCODER = ImageEncoder((28, 28), (33.0,), (78.0,), 255, MNIST_LIKE)


def seven(size=(200, 300), width=14, ink="black", paper="white", at=(40, 60), mode="RGB"):
    image = Image.new(mode, size, paper)
    x, y = at
    ImageDraw.Draw(image).line([(x, y), (x + 90, y), (x + 30, y + 160)], fill=ink, width=width, joint="curve")
    return image


def read(image, folder, name="drawn.png"):
    image.save(folder / name)
    return like_training(str(folder / name), ENCODER)[0].astype(int)


def test_a_drawing_is_framed_as_the_training_images_are(tmp_path):
    page = read(seven(), tmp_path)
    assert page.shape == (28, 28)
    rows, columns = (page > 64).any(1).nonzero()[0], (page > 64).any(0).nonzero()[0]
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
    mass = [(page.sum(axis) @ np.arange(28)) / page.sum() for axis in (1, 0)]
    assert np.allclose(mass, 14, atol=0.6)
    assert page.max() == 255
    assert page[0].max() == 0


def test_thin_lines_become_as_thick_as_those_of_training(tmp_path):
    thin, usual = (read(seven(width=width), tmp_path) for width in (2, 14))
    shares = [page[page.any(1)][:, page.any(0)].mean() / 255 for page in (thin, usual)]
    assert shares[0] > 0.7 * MNIST_LIKE.fill
    assert shares[1] > 0.7 * MNIST_LIKE.fill


@pytest.mark.parametrize(
    "other",
    [
        {"ink": "white", "paper": "black"},
        {"at": (90, 120)},
        {"at": (5, 20), "size": (400, 400)},
        {"ink": (20, 40, 200), "paper": (255, 250, 240)},
        {"ink": "yellow"},
        {"paper": (0, 0, 0, 0), "ink": (0, 0, 0, 255), "mode": "RGBA"},
        {"paper": (255, 255, 255, 0), "ink": (255, 255, 255, 255), "mode": "RGBA"},
    ],
    ids=["inverted", "elsewhere", "smaller", "blue", "pale", "transparent", "white on transparent"],
)
def test_place_colour_and_polarity_make_no_difference(tmp_path, other):
    assert abs(read(seven(**other), tmp_path) - read(seven(), tmp_path)).max() <= 12


def test_an_image_of_the_training_size_is_taken_as_it_is(tmp_path):
    pixels = torch.randint(0, 200, (28, 28), generator=torch.Generator().manual_seed(0)).numpy().astype(np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0
    assert (read(Image.fromarray(pixels), tmp_path) == pixels).all()
    assert (read(Image.fromarray(255 - pixels), tmp_path) == pixels).all()


def test_a_blank_page_is_said_to_be(tmp_path):
    with pytest.raises(DataError, match=r"drawn.png: the image is blank"):
        read(Image.new("L", (90, 90), 255), tmp_path)


def test_a_drawing_in_its_own_frame_stays_there():
    page = np.zeros((28, 28))
    page[4:24, 10:18] = 1
    centre = (13.5, 13.5)
    assert np.allclose(framed(page, Drawing(0.0, 20.0, False, centre, 0.3), (28, 28)), page, atol=1e-6)
    assert np.allclose(framed(1 - page, Drawing(1.0, 20.0, False, centre, 0.3), (28, 28)), 1 - page, atol=1e-6)


def test_what_digits_have_in_common_is_found_in_them(real_data):
    images = read_idx(real_data / "MNIST" / "raw", "t10k-images-idx3-ubyte", num_dims=3)[0][:1000]
    found = fit_images([images[:, None]]).drawing
    assert (found.background, found.side, found.by_mass) == (0.0, 20.0, True)
    assert np.allclose(found.centre, 14, atol=0.2)
    noise = np.random.default_rng(0).random((50, 28, 28))
    assert fit_drawing(noise) is None
    assert fit_drawing(np.zeros((50, 28, 28))) is None


@pytest.fixture
def rows_of(dltrain):
    """Predict into a CSV file, and give its rows."""

    def predicted(*arguments):
        outcome = dltrain("predict", *arguments, "output=-")
        assert outcome.code == 0, outcome.err
        return list(csv.DictReader(io.StringIO(outcome.out)))

    return predicted


def test_drawn_digits_are_read_as_well_as_the_test_images(dltrain, rows_of, real_data, tmp_path, one_thread):
    """200 test images as a person would have them: large, dark on light, and as they are."""
    dltrain(
        "data=mnist", f"data.root={real_data}", "model=strided_cnn", "epochs=1", "data.batch_size=128", "max_steps=150"
    )
    folder = real_data / "MNIST" / "raw"
    images = read_idx(folder, "t10k-images-idx3-ubyte", num_dims=3)[0][:200].numpy()
    labels = read_idx(folder, "t10k-labels-idx1-ubyte", num_dims=1)[0][:200].tolist()
    for name in ("plain", "large"):
        (tmp_path / name).mkdir()
    for number, pixels in enumerate(images):
        image = Image.fromarray(pixels)
        image.save(tmp_path / "plain" / f"{number:03}.png")
        ImageOps.invert(image.resize((280, 280), Image.Resampling.BICUBIC)).save(
            tmp_path / "large" / f"{number:03}.png"
        )
    plain, large = ([int(row["prediction"]) for row in rows_of(f"input={name}")] for name in ("plain", "large"))
    right = [np.mean(np.array(found) == labels) for found in (plain, large)]
    assert right[0] > 0.93
    assert right[1] > right[0] - 0.03
    assert np.mean(np.array(plain) == np.array(large)) > 0.95


def test_images_of_a_model_that_was_trained_on_files(dltrain, rows_of, tmp_path):
    for name, shade in [("dark", 20), ("light", 220)]:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (12, 9), (shade + number, shade, 30)).save(tmp_path / "images" / name / f"{number}.png")
    dltrain("data=image_folder", "data.path=images", "data.workers=0", "data.size=8", "model=logistic", "epochs=20")
    rows = rows_of("input=images")
    assert [row["prediction"] for row in rows] == ["dark"] * 12 + ["light"] * 12
    assert all(abs(float(row["probability dark"]) + float(row["probability light"]) - 1) < 1e-5 for row in rows)
    assert len(rows_of("input=images/*/1*.png")) == 6
    assert len(rows_of("images/dark/1.png", "images/light/1.png")) == 2


def house(i):
    return f"{20 + i % 31},{['Rome', 'Oslo'][i % 2]},{i % 31 * 2 + 5 * (i % 2)}"


@pytest.fixture
def houses(dltrain, tmp_path):
    """A run on a table of sizes and cities."""
    (tmp_path / "houses.csv").write_text("size,city,price\n" + "".join(f"{house(i)}\n" for i in range(80)))
    run = [
        "data=csv",
        "data.path=houses.csv",
        "data.target=price",
        "data.missing=error",
        "model=linear",
        "optim=lbfgs",
        "data.batch_size=full",
    ]
    assert dltrain(*run, "epochs=9").code == 0
    return tmp_path


def test_a_table_comes_back_with_predictions_in_its_units(dltrain, houses):
    (houses / "new ones.csv").write_text('id,city,size\n7,"Oslo",30\n8,Rome,40\n')
    outcome = dltrain("predict", "input=new ones.csv")
    assert outcome.code == 0, outcome.err
    assert "2 rows with prediction in new ones-predictions.csv" in outcome.out
    rows = list(csv.reader((houses / "new ones-predictions.csv").read_text().splitlines()))
    assert rows[0] == ["id", "city", "size", "prediction"]
    assert [row[:3] for row in rows[1:]] == [["7", "Oslo", "30"], ["8", "Rome", "40"]]
    assert [float(row[3]) for row in rows[1:]] == pytest.approx([25, 40], abs=0.5)
    again = dltrain("predict", "input=new ones.csv")
    assert again.code == 6
    assert "is not overwritten; choose another output=" in again.err
    assert dltrain("predict", "input=houses.csv", "output=houses.csv").code == 6


def test_a_table_keeps_its_separator(houses, dltrain, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"city;size\nOslo;30\n")))
    lines = dltrain("predict", "input=-").out.splitlines()
    assert lines[0] == "city;size;prediction"
    assert lines[1].startswith("Oslo;30;")


def test_a_table_of_one_column_is_read_if_the_model_needs_no_other(dltrain, rows_of, tmp_path):
    (tmp_path / "train.csv").write_text("x,y\n" + "".join(f"{i * 7 % 40},{2 * (i * 7 % 40)}\n" for i in range(40)))
    run = ["data=csv", "data.path=train.csv", "data.target=y", "model=linear", "optim=lbfgs", "data.batch_size=full"]
    assert dltrain(*run, "epochs=9").code == 0
    (tmp_path / "new.csv").write_text("x\n3\n\n5\n")
    rows = rows_of("input=new.csv")
    assert [row["x"] for row in rows] == ["3", "", "5"]  # an empty line is a missing cell
    assert [float(rows[i]["prediction"]) for i in (0, 2)] == pytest.approx([6, 10], abs=0.2)


def test_words_that_training_did_not_know_are_said_or_refused(dltrain, houses):
    (houses / "new.csv").write_text("city,size\noslo,30\nOslo,30\n")
    outcome = dltrain("predict", "input=new.csv", "output=-")
    assert "column city: 1 of 2 cells hold oslo, unknown in training; did you mean Oslo?" in outcome.err
    outcome = dltrain("predict", "input=new.csv", "output=-", "unknown=error")
    assert (outcome.code, outcome.out) == (3, "")


def test_text_that_training_did_not_know_is_zero_in_all_its_categories(houses, rows_of, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"city,size\nOslo,30\nRome,30\nParis,30\n")))
    oslo, rome, paris = (float(row["prediction"]) for row in rows_of("input=-"))
    assert oslo - rome == pytest.approx(5, abs=0.2)
    assert paris not in (oslo, rome)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("city,rooms\nOslo,3\n", "no column 'size'"),
        ("city,size\nOslo,\n", "line 2, column 'size': an empty cell where a value was expected"),
        ("city,size\nOslo,large\n", "line 2, column 'size': 'large' is not a number"),
        ("city,size,prediction\nOslo,3,4\n", "already has a column 'prediction'"),
        ("", "the file is empty"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(dltrain, houses, content, message):
    (houses / "bad.csv").write_text(content)
    outcome = dltrain("predict", "input=bad.csv")
    assert outcome.code == 3
    assert message in outcome.err
    assert not (houses / "bad-predictions.csv").exists()


def test_classes_have_a_column_each(dltrain, rows_of):
    dltrain("data=iris", "model=logistic", "epochs=20")
    header = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
    Path("flowers.csv").write_text(f"{header}\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    rows = rows_of("input=flowers.csv")
    assert [row["prediction"] for row in rows] == ["setosa", "virginica"]
    assert all(
        sum(float(row[f"probability {n}"]) for n in ("setosa", "versicolor", "virginica")) > 0.9999 for row in rows
    )


@pytest.fixture
def texts(dltrain, tmp_path):
    """A run that tells a from b."""
    rows = "".join(f"{'ab'[i % 2] * (i % 4 + 1)},{['first', 'second'][i % 2]}\n" for i in range(80))
    (tmp_path / "texts.csv").write_text(rows)
    assert dltrain("data=text", "data.path=texts.csv", "model=gru", "epochs=15", "model.hidden=16").code == 0
    return tmp_path


def test_words_that_settings_have_too_are_texts(dltrain, texts):
    outcome = dltrain("predict", "last", "note", "error")
    assert outcome.code == 0, outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["note", "error"]


def test_texts_are_words_lines_or_separated_by_commas(dltrain, texts, monkeypatch):
    expected = ["a", "first", "bbb", "second"]
    (texts / "lines.txt").write_text("a\nbbb\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nbbb\n")))
    for words in (["input=a,bbb"], ["a", "bbb"], ["input=lines.txt"], ["input=-"]):
        lines = dltrain("predict", *words).out.splitlines()
        assert [cell for line in lines for cell in line.split()[:2]] == expected, words
    assert dltrain("predict", "input=a, b").out.startswith("a, b  ")
    (texts / "lines.txt").write_text("a\tfirst\nbbb\tsecond\n")  # a table, whatever its name
    assert [line.split()[:2] for line in dltrain("predict", "input=lines.txt").out.splitlines()] == [
        ["a", "first"],
        ["bbb", "second"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "input= is required"),
        (["input=x.png"], "no such file; this model reads texts"),
        (["input=reviws.txt"], "reviws.txt: no such file; this model reads texts; as a text: echo 'reviws.txt' |"),
        (["input=old/texts"], "old/texts: no such file"),
        (["reviews.txt", "more.txt"], "reviews.txt: no such file"),
        (["input=https://a.org/b.csv"], "a URL; download it first: curl -LO https://a.org/b.csv"),
        (["input=."], ".: a folder, not a file"),
        (["input=a", "data.val_fraction=0.5"], "data has no val_fraction"),
        (["input=a", "top=0"], "top=0: expected a whole number of at least 1"),
        (["input=,,"], "the input has no text"),
        (["input=a", "b"], "give one of the two"),
        (["inptu=a"], "did you mean input"),
    ],
)
def test_texts_that_do_not_fit_are_one_line(dltrain, texts, arguments, message):
    outcome = dltrain("predict", *arguments)
    assert outcome.code in (2, 3)
    assert message in outcome.err


def test_a_row_comes_out_for_each_line(dltrain, texts):
    given = ["a", "", "bbb\u2028b", "  ", "ab\x0cb"]
    (texts / "lines.txt").write_text("\r\n".join(given) + "\n", newline="")
    outcome = dltrain("predict", "input=lines.txt", "output=p.csv")
    assert "note   skipped, empty: 2 of 5 texts" in outcome.err
    rows = list(csv.reader(io.StringIO((texts / "p.csv").read_bytes().decode(), newline="")))
    assert rows[0] == ["input", "prediction", "probability first", "probability second"]
    assert [row[0] for row in rows[1:]] == given
    assert rows[2][1:] == rows[4][1:] == ["", "", ""]
    assert rows[1][1] == "first"
    assert dltrain("predict", "input=lines.txt", "output=p.jsonl").code == 0
    made = [json.loads(line) for line in (texts / "p.jsonl").read_text().split("\n")[:-1]]
    assert [row["input"] for row in made] == given
    assert [row["prediction"] for row in made] == [row[1] or None for row in rows[1:]]
    assert [f"{row['probabilities']['first']:.6f}" for row in made[::2]] == [row[2] for row in rows[1::2]]


def test_a_table_of_texts_comes_back_with_predictions(dltrain, texts):
    (texts / "new.csv").write_text('id;text\n7;"a; a"\n8;bbb\n')
    assert dltrain("predict", "input=new.csv", "data.text=text", "output=p.tsv").code == 0
    rows = list(csv.reader((texts / "p.tsv").read_text().splitlines(), delimiter="\t"))
    assert [row[:3] for row in rows] == [["id", "text", "prediction"], ["7", "a; a", "first"], ["8", "bbb", "second"]]
    lines = dltrain("predict", "input=texts.csv").out.splitlines()  # written as the training file
    assert len(lines) == 80
    assert lines[0].split()[:2] == ["a", "first"]


def test_the_likeliest_classes_and_json_go_to_the_terminal(dltrain, texts):
    (made,) = map(json.loads, dltrain("predict", "input=a", "--json", "top=1").out.splitlines())
    assert (made["input"], made["prediction"], list(made["probabilities"])) == ("a", "first", ["first"])
    assert dltrain("predict", "input=a", "top=1").out.count("%") == 1
    rows = list(csv.DictReader(dltrain("predict", "a", "bbb", "output=-", "top=2").out.splitlines()))
    assert [(row["prediction"], row["prediction 2"]) for row in rows] == [("first", "second"), ("second", "first")]
    dltrain("predict", "a", "bbb", "output=p.json")
    assert [row["prediction"] for row in json.loads((texts / "p.json").read_text())] == ["first", "second"]


def test_unknown_characters_are_said_or_refused(dltrain, texts):
    assert "note   input: 2 of 3 characters are unknown in training: 'x'\n" in dltrain("predict", "input=axx").err
    outcome = dltrain("predict", "input=axx", "unknown=error")
    assert (outcome.code, outcome.out) == (3, "")
    assert "2 of 3 characters are unknown in training" in outcome.err


def test_a_file_in_another_encoding_is_read_as_the_error_says(dltrain, texts):
    (texts / "latin.txt").write_bytes("a\nbü\n".encode("latin-1"))
    assert "set it: data.encoding=latin-1" in dltrain("predict", "input=latin.txt").err
    assert "bü" in dltrain("predict", "input=latin.txt", "data.encoding=latin-1").out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("table.csv", "this is a table, but this model reads images"),
        ("empty", "this folder has no images"),
        ("nowhere*.png", "no such file, folder or pattern"),
        ("text.png", "not a PNG, JPEG"),
    ],
)
def test_images_that_do_not_fit_are_one_line(dltrain, tmp_path, given, message):
    dltrain("data=digits", "model=logistic", "epochs=1", "limit_batches=2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "text.png").write_text("no image")
    outcome = dltrain("predict", f"input={given}")
    assert outcome.code == 3
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["eval", "predict", "export"])
def test_help_needs_no_run(dltrain, command):
    outcome = dltrain(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"dltrain {command}: ")
