"""errors.csv lists the worst test examples, each at its place in the data and as the data has it."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from test_pictures import hours, images, line, outcome_of

from trainer.data import tabular
from trainer.data._table.decoder import cells
from trainer.data._vocabulary import Vocabulary
from trainer.view.errors import write_errors


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_the_worst_classes_come_with_their_cross_entropy(tmp_path):
    outcome = outcome_of(*images(num=300, classes=5), lr=1e-4)
    said = write_errors(outcome, tmp_path / "errors.csv")
    loss = F.cross_entropy(outcome.outputs.double(), outcome.targets, reduction="none")
    predicted = outcome.outputs.argmax(1)
    wrong = [at for at in loss.argsort(descending=True).tolist() if predicted[at] != outcome.targets[at]]
    assert f"({len(wrong)} of 300 test examples wrong; the worst 100)" in said
    found = rows(tmp_path / "errors.csv")
    assert [int(row["row"]) for row in found] == wrong[:100]
    assert [float(row["loss"]) for row in found] == pytest.approx(loss[wrong[:100]].tolist(), rel=1e-5)
    first, chances = found[0], outcome.outputs[wrong[0]].double().softmax(0)
    assert (first["true"], first["predicted"]) == tuple(f"class {at[wrong[0]]}" for at in (outcome.targets, predicted))
    assert float(first["probability of true"]) == pytest.approx(float(chances[outcome.targets[wrong[0]]]), rel=1e-5)
    assert float(first["probability of predicted"]) == pytest.approx(float(chances.max()), rel=1e-5)


def test_values_are_in_the_units_of_the_file_the_largest_error_first(tmp_path):
    outcome = outcome_of(*line())
    write_errors(outcome, tmp_path / "errors.csv")
    found = rows(tmp_path / "errors.csv")
    errors = 3 * (outcome.outputs - outcome.targets).flatten().double()
    assert [int(row["row"]) for row in found] == errors.abs().argsort(descending=True).tolist()
    assert [float(row["error"]) for row in found] == pytest.approx(
        [float(errors[int(row["row"])]) for row in found], rel=1e-5
    )
    assert float(found[0]["true"]) == pytest.approx(3 * float(outcome.targets[int(found[0]["row"])]) - 7, rel=1e-5)


def test_without_an_error_the_least_certain_are_listed(tmp_path):
    outcome = outcome_of(*hours())
    outcome.outputs.copy_(torch.where(outcome.targets > 0.5, 2.0, -2.0))
    outcome.outputs[7] /= 2
    write_errors(outcome, tmp_path / "errors.csv")
    found = rows(tmp_path / "errors.csv")
    assert len(found) == 60
    assert (found[0]["row"], found[0]["true"]) == ("7", found[0]["predicted"])


TABLE = """id,size,year,kind,room,target
a7,1.25,1999,old,3,yes
b8,,2004,new,1,no
c9,-0.5,2011,,1,no
d1,1234.75,2024,old,,yes
"""


def test_encoded_rows_turn_back_into_the_cells_of_the_file(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE + TABLE.partition("\n")[2] * 9)
    splits, spec = tabular.csv(path=str(tmp_path / "t.csv"), target="target", drop=["id"], val_fraction=0.1)
    expected = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)[[*spec.encoder.names]]
    for part in (splits.train, splits.test):
        assert cells(spec.encoder, part.inputs.numpy()) == expected.iloc[part.rows.tolist()].to_numpy().tolist()
    nothing = np.zeros((1, *spec.in_shape), np.float32)
    assert cells(spec.encoder, nothing)[0][spec.encoder.names.index("kind")] == ""  # a word unknown in training


@pytest.mark.parametrize(
    ("unit", "text", "expected"), [("characters", "a bé", "a b�"), ("words", "B  a, c", "b a � �")]
)
def test_tokens_turn_back_into_text(unit, text, expected):
    tokens = tuple(sorted(" ab" if unit == "characters" else ("a", "b")))
    vocabulary = Vocabulary(tokens, unit, 8)
    assert vocabulary.decode(vocabulary.encode([text])[0].tolist()) == expected


def test_a_run_lists_rows_of_its_table_and_files_of_its_folder(dltrain, tmp_path):
    lines = [f"{x},{x * 7 % 5},{'ab'[x % 3 == 0]}" for x in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,kind", *lines]))
    outcome = dltrain("data=csv", "data.path=t.csv", "data.target=kind", "model=mlp", "epochs=1")
    found = rows(outcome.folder / "errors.csv")
    assert f"{outcome.folder.relative_to(tmp_path)}/errors.csv" in outcome.out
    for row in found:
        assert lines[int(row["row"])] == f"{row['x']},{row['y']},{row['true']}"
        assert row["true"] != row["predicted"]
    assert found
    from PIL import Image

    for number in range(40):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (5, 5), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    folder = dltrain("data=image_folder", "data.path=photos", "data.workers=0", "model=mlp", "epochs=1").folder
    for row in rows(folder / "errors.csv"):
        assert Path(row["file"]).is_file()
        assert Path(row["file"]).parent.name == row["true"]
