import gzip
import json
import math
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from sklearn import datasets

from trainer.data import tabular
from trainer.data._table.columns import read_table
from trainer.data._table.encoder import TableEncoder, Target, fit_column
from trainer.data._table.opening import open_table
from trainer.data.description import from_plain
from trainer.errors import DataError
from trainer.models.linear import Linear

HEADER = "a,b,c,y"
ROWS = [f"{i},{i % 7},{'xyz'[i % 3]},{i * 3 % 11 / 2}" for i in range(60)]


def text_of(*more, header=HEADER, rows=ROWS, end="\n"):
    return end.join([header, *rows, *more]) + end


@pytest.fixture
def table(tmp_path):
    """Write text or bytes to a file, and read it."""

    def read(content, target="y", *, name="table.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tabular.csv(path=str(path), target=target, **options)

    return read


def columns(splits, spec):
    """Return input name -> values in the training split, in the units of the file."""
    inputs = splits.train.inputs.double() * spec.feature_std + spec.feature_mean
    return dict(zip(spec.feature_names, inputs.T, strict=True))


def same(one, other):
    return all(
        torch.equal(getattr(getattr(one, split), kind), getattr(getattr(other, split), kind))
        for split in ("train", "val", "test")
        for kind in ("inputs", "targets")
    )


# Broken files.


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("csv_missing_value.csv", "line 12, column 'BMI': an empty cell .* data.missing=auto .* data.missing=drop"),
        ("csv_text_in_numeric.csv", "line 9, column 'Glucose': 'high' is not a number"),
        ("csv_ragged.csv", "line 7 has 7 fields, expected 9"),
        (
            "csv_duplicate_header.csv",
            "line 1: 2 columns are called 'Glucose', columns 2 and 4; python -c .*_header-renamed.csv$",
        ),
        ("csv_empty.csv", "the file is empty"),
        ("csv_header_only.csv", "0 rows"),
        ("csv_no_header.csv", "no column 'Outcome'.*looks like data.*data.header=false"),
        ("csv_inf.csv", "line 5, column 'Insulin': 'inf' is not a finite number"),
        ("csv_one_row.csv", "1 row: too few"),
        ("csv_latin1.csv", r"not UTF-8 \(byte 0xf6 in line 1\).*data.encoding=latin-1"),
        ("csv_one_class.csv", "'Outcome' is 0 in all 60 rows"),
        ("csv_target_out_of_range.csv", "line 6, column 'Outcome': '2' .* -1, 0, 1, 2"),
        ("csv_target_missing_column.csv", "no column 'Outcome'.*Pregnancies, Glucose, .*, Age$"),
        ("csv_unclosed_quote.csv", "line 5: a quote opens here and is never closed"),
        ("csv_is_binary.csv", "an image; data=image_folder reads folders of images"),
        ("csv_truncated.csv.gz", "ends early"),
    ],
)
@pytest.mark.parametrize("task", ["auto", "binary"])
def test_broken_files_are_refused_with_their_place(real_data, case, message, task):
    with pytest.raises(DataError, match=f"{case}.*{message}") as refusal:
        tabular.csv(path=str(real_data / "bad" / case), target="Outcome", task=task, missing="error")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # fields
        ("\n".join([HEADER, *(f"{row},5" for row in ROWS)]), "line 2 has 5 fields, expected 4"),
        ("\n".join([HEADER, *(f"{row}," for row in ROWS)]), "line 2 has 5 fields, expected 4"),
        ("\n".join([HEADER, *(row.rsplit(",", 1)[0] for row in ROWS)]), "line 2 has 3 fields, expected 4"),
        (text_of("1,2,x"), "line 62 has 3 fields, expected 4"),
        (text_of("1,2,x,3,4"), "line 62 has 5 fields, expected 4"),
        (text_of('1,"2,x,3', *ROWS, '1,2,"z",3'), "line 62 has 3 fields, expected 4.*extends it to line 123"),
        # lines: blank ones and those inside a quoted cell count
        (text_of("", "  ", '1,2,"p\nq",3', "", "1,bad,x,3"), "line 67, column 'b': 'bad'"),
        (text_of("1,bad,x,3", end="\r"), "line 62, column 'b': 'bad'"),
        (text_of("1,bad,x,3", end="\r\n"), "line 62, column 'b': 'bad'"),
        # quotes
        (text_of('1,"2,x,3'), "line 62: a quote opens here"),
        (text_of('"p\nq",2,"x,3', *ROWS), "line 63: a quote opens here"),
        (text_of(rows=['1,"2,x,3', *ROWS]), "line 2: a quote opens here"),
        ('"' + text_of(), "line 1: a quote opens here"),
        # cells
        (text_of("1,,x,3"), "line 62, column 'b': an empty cell where"),
        (text_of("1,  ,x,3"), "line 62, column 'b': an empty cell where"),
        (text_of("1,NA,x,3"), "line 62, column 'b': 'NA' where"),
        (text_of("1,?,x,3"), r"line 62, column 'b': '\?' where"),
        (text_of('1,2,"  ",3'), "line 62, column 'c': an empty cell where"),
        (text_of("1,1e400,x,3"), "line 62, column 'b': '1e400' is not a finite number"),
        (text_of("1,-1e39,x,3"), "line 62, column 'b': '-1e39' is not a finite number"),
        (text_of("1,1,x,Infinity"), "line 62, column 'y': 'Infinity' is not a finite number"),
        (text_of(f"1,{'9' * 400},x,3"), r"line 62, column 'b': '9{40}'\.\.\. \(400 characters\) is not a finite"),
        (text_of(f"1,{'z' * 1_000_000},x,3"), r"column 'b': 'z{40}'\.\.\. \(1,000,000 characters\) is not a number"),
        (text_of("1,\x1b[31mred,x,3"), r"column 'b': '\\x1b\[31mred' is not a number"),
        (text_of('1,"re\nd",x,3'), r"line 62, column 'b': 're\\nd' is not a number"),
        ('a,y\n"1,5",2\n"2,25",3\n', "line 2, column 'a': '1,5' is not a number; data.decimal=comma"),
        ("a;y\n1,500;2\n2,500;3\n", "'1,500' is a whole number with data.thousands=comma, a fraction with data.dec"),
        # headers
        (text_of(header="a, a,c,y"), "2 columns are called 'a', columns 1 and 2"),
        ("\n\n \n", "the file is empty"),
        ("\ufeff", "the file is empty"),
        ("y\n1\n2\n", "line 1 has one column, 'y'.*data.separator="),
        (text_of().replace(",", " "), "one column, 'a b c y'.*data.separator=space"),
        (text_of(header="a,b,c,Y"), "no column 'y'; .*a, b, c, Y"),
        (",".join(f"n{i}" for i in range(500)) + "\n" + "1," * 499 + "1", "n18, n19 and 480 more$"),
        # bytes
        (text_of(*ROWS * 200, "1,2,x\0z,3"), "not text: a NUL byte in line 12062"),
        (text_of(*ROWS * 200).encode() + b"1,2,\xff,3\n", "not UTF-8 .byte 0xff in line 12062"),
        (text_of().encode("utf-16"), "UTF-16; data.encoding=utf-16"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a zip archive; unpack it first"),
        (gzip.compress(text_of().encode(), mtime=0)[:-8] + b"12345678", "broken"),
        # targets
        ("a,y\n" + "1,1.5\n2,1.5\n" * 9, "the target 'y' is 1.5 in all 18 rows"),
        ("a,y\n" + "".join(f"{i},n{i}\n" for i in range(30)), "30 different values, n0, n1, n10.*too many for classes"),
        ("id,y\n" + "".join(f"u{i},{i % 2}\n" for i in range(30)), r"no feature.*left out: id \(identifier\)"),
    ],
)
def test_other_broken_files_are_refused(table, content, message):
    with pytest.raises(DataError, match=message) as refusal:
        table(content, missing="error")
    assert "\n" not in str(refusal.value)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_a_header_of_numbers_is_data_unless_it_counts_up(table):
    with pytest.raises(DataError, match=r"no column '8'.*looks like data.*data.header=false"):
        table("5,3,8\n" + "1,2,3\n2,3,5\n" * 20, target=8)
    _, spec = table("0,1,2\n" + "1,2,3\n2,3,5\n" * 20, target=2)
    assert spec.feature_names == ("0", "1")


def test_a_path_that_is_not_a_readable_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="folder"):
        tabular.csv(path=str(tmp_path), target="y")
    with pytest.raises(DataError, match=f"{tmp_path}/none.csv: no such file"):
        tabular.csv(path=str(tmp_path / "none.csv"), target="y")
    (tmp_path / "page.csv.gz").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not a gzip file"):
        tabular.csv(path=str(tmp_path / "page.csv.gz"), target="y")


def test_a_file_without_read_permission_is_refused(table, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("trainer.data._textfile.open_text", refuse)
    with pytest.raises(DataError, match=r"table.csv: cannot be read: Permission denied"):
        table(text_of())


def test_a_broken_file_ends_a_run_with_exit_code_3_and_one_line(dltrain, tmp_path):
    (tmp_path / "t.csv").write_text(text_of("1,high,x,3"))
    outcome = dltrain("data=csv", "data.path=t.csv", "data.target=y", "model=linear")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert "t.csv: line 62, column 'b': 'high'" in outcome.err
    assert dltrain("data=csv", "data.path=t.csv", "data.target=y", "data.missing=median").code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "clustering"}, "task=clustering is not one of auto, regression, binary, multiclass"),
        ({"missing": "median"}, "missing=median is not one of auto, error, mean, drop"),
        ({"separator": "::"}, "separator='::'.*a character"),
        ({"decimal": ";"}, "decimal=';'.*a character"),
        ({"encoding": "utf-9"}, "encoding=utf-9 is not known"),
        ({"encoding": "rot13"}, "encoding=rot13 is not known"),
        ({"features": ["a", "y"]}, "the target 'y' is among"),
        ({"drop": ["y"]}, "the target 'y' is among"),
        ({"val_fraction": 1.5}, "val_fraction=1.5"),
    ],
)
def test_an_invalid_option_is_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        table(text_of(), **options)


@pytest.mark.parametrize("option", ["features", "drop", "text"])
def test_an_unknown_column_is_refused_with_a_suggestion(table, option):
    with pytest.raises(DataError, match="no column 'aa'; did you mean a"):
        table(text_of(), **{option: ["aa"]})


# File formats.


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"\xef\xbb\xbf" + text_of().encode(), {}),
        (text_of(end="\r\n"), {}),
        (text_of(end="\r"), {}),
        (text_of(end="\n\n"), {}),
        (text_of().replace(",", ";"), {}),
        (text_of().replace(",", "|"), {}),
        (text_of().replace(",", "\t"), {}),
        (text_of().replace(",", "\t"), {"name": "table.tsv"}),
        (text_of().replace(",", ", "), {}),
        (text_of().replace(",", " "), {"separator": "space"}),
        (text_of().replace(",", ":"), {"separator": ":"}),
        (text_of().replace(",", ";").replace(".", ","), {"decimal": "comma"}),
        (text_of().encode("utf-16"), {"encoding": "utf-16"}),
        (gzip.compress(text_of().encode(), mtime=0), {"name": "table.csv.gz"}),
        (gzip.compress(text_of().encode(), mtime=0), {}),
        (text_of().replace("x", '"x"').replace("z", '"z "'), {}),
    ],
)
def test_a_table_is_the_same_in_every_format(table, content, options):
    splits, spec = table(text_of())
    other, its_spec = table(content, **options)
    assert same(splits, other)
    assert spec.feature_names == its_spec.feature_names == ("a", "b", "c=x", "c=y", "c=z")


def test_semicolons_and_a_byte_order_mark_are_understood(real_data):
    path = real_data / "bad" / "csv_bom_crlf_semicolon.csv"
    splits, spec = tabular.csv(path=str(path), target="Outcome", val_fraction=0, test_fraction=0)
    assert spec.feature_names[0] == "Pregnancies"
    by_hand = [float(line.split(";")[5]) for line in path.read_text().splitlines()[1:]]
    assert columns(splits, spec)["BMI"].tolist() == pytest.approx(by_hand, abs=1e-5)


def test_another_encoding_can_be_set(real_data):
    path = str(real_data / "bad" / "csv_latin1.csv")
    _, spec = tabular.csv(path=path, target="Outcome", encoding="latin-1")
    assert spec.feature_names[:3] == ("Größe", "Länge", "Gewähr")


def test_columns_without_a_header_are_numbered(real_data, table):
    splits, spec = tabular.csv(path=str(real_data / "diabetes.csv.gz"), target=-1, header=False)
    assert sum(len(part.targets) for part in (splits.train, splits.val, splits.test)) == 759
    assert (spec.task, spec.target_name, spec.in_shape) == ("binary", "9", (8,))
    with_header = table(text_of())[0]
    for target in (-1, 4, "4"):
        assert same(with_header, table("\n".join(ROWS), target=target, header=False)[0])
    with pytest.raises(DataError, match="line 61, column '2': 'bad'"):
        table("\n".join([*ROWS, "1,bad,x,3"]), target=-1, header=False)


def test_a_column_without_a_name_is_left_out_unless_requested(table):
    content = "\n".join([f",{HEADER},", *(f"{i},{row}," for i, row in enumerate(ROWS))])
    splits, spec = table(content)
    assert same(splits, table(text_of())[0])
    assert "left out: column 1 (no name), column 6 (no name)" in spec.notes
    assert table(content, features=["column 1", "b"])[1].feature_names == ("column 1", "b")


def test_control_characters_in_names_and_words_are_escaped(table):
    _, spec = table('"a\x1b[31m","b\nb",y\n' + '1,"p\x07",u\n2,"q\n",v\n' * 9)
    assert spec.feature_names == ("a\\x1b[31m", "b b=p\\x07", "b b=q")


# Columns.


def test_numbers_are_standardised_by_the_training_rows_and_reported_in_their_units(table):
    splits, spec = table(text_of(), features=["a", "b"])
    assert torch.allclose(splits.train.inputs.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(splits.train.inputs.std(0, correction=0), torch.ones(2), atol=1e-6)
    assert splits.train.targets.mean().item() == pytest.approx(0, abs=1e-6)
    rows = [part.inputs.double() * spec.feature_std + spec.feature_mean for part in (splits.train, splits.val)]
    rows.append(splits.test.inputs.double() * spec.feature_std + spec.feature_mean)
    a, b = torch.cat(rows).T
    y = torch.cat([spec.in_units(part.targets.double()) for part in (splits.train, splits.val, splits.test)])[:, 0]
    assert sorted(a.round().tolist()) == list(range(60))
    assert torch.allclose(b, a.round() % 7, atol=1e-5)
    assert torch.allclose(y, a.round() * 3 % 11 / 2, atol=1e-5)


def test_text_becomes_one_input_per_category_of_the_training_rows(table, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("y,c,a,b,more\n1.5,z,1,2,?\n1.5,new,1,2,?\n")
    splits, spec = table(text_of(), test_path=str(test), features=["c", "a"])
    assert spec.feature_names == ("c=x", "c=y", "c=z", "a")
    words = columns(splits, spec)
    letters = ["xyz"[int(i) % 3] for i in words["a"].round()]
    for word in "xyz":
        assert words[f"c={word}"].tolist() == [letter == word for letter in letters]
    assert splits.test.inputs[:, :3].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert spec.feature_mean[:3].tolist() == [0, 0, 0]
    assert spec.feature_std[:3].tolist() == [1, 1, 1]


def test_the_weights_of_a_linear_model_are_in_the_units_of_the_file(table):
    splits, spec = table(text_of())
    model = Linear(spec.in_shape, spec.out_features)
    learned = model.learned(spec)
    raw = torch.stack([*columns(splits, spec).values()], 1)
    predictions = spec.in_units(model(splits.train.inputs).double())[:, 0]
    by_hand = raw @ torch.tensor(learned["w"], dtype=torch.float64) + learned["b"][0]
    assert torch.allclose(predictions, by_hand, atol=1e-4)


def test_unusable_columns_are_left_out_with_a_note(table):
    rows = "".join(
        f"u{i},read {i} times,{'Paris' if i % 3 else 'Rome'},k{i % 120},{'true' if i % 2 else 'FALSE'},,{i % 2}\n"
        for i in range(600)
    )
    splits, spec = table(f"id,comment,city,code,flag,nothing,y\n{rows}")
    assert spec.feature_names == ("city=Paris", "city=Rome", "flag")
    left_out = "id (identifier), comment (free text), code (120 categories), nothing (empty)"
    assert spec.notes == ("task binary: the target 'y' has the values 0 and 1", f"left out: {left_out}")
    assert columns(splits, spec)["flag"].round().tolist() == splits.train.targets[:, 0].tolist()


def test_columns_of_codes_can_be_declared_text(table):
    content = "zip,y\n" + "".join(f"0{i % 3},{i % 5 / 2}\n" for i in range(60)) + "2A,1\n2A,1\n2A,1\n2A,1\n2A,1\n"
    with pytest.raises(DataError, match=r"line 62, column 'zip': '2A' is not a number.*data.text=\[zip\]"):
        table(content)
    assert table(content, text="zip")[1].feature_names == ("zip=00", "zip=01", "zip=02", "zip=2A")


@pytest.mark.parametrize("value", ["7", "0.1", "1e30", "word"])
def test_a_constant_column_is_zero_or_one_with_a_note(table, value):
    splits, spec = table("a,c,y\n" + "".join(f"{i},{value},{i % 2}\n" for i in range(60)))
    assert splits.train.inputs[:, 1].tolist() == [value == "word"] * 42
    assert "constant in training: c" in spec.notes


def test_a_real_constant_column_trains(real_data, dltrain):
    outcome = dltrain(
        "data=csv",
        f"data.path={real_data / 'bad' / 'csv_constant_column.csv'}",
        "data.target=Outcome",
        "model=linear",
        "epochs=1",
    )
    assert outcome.code == 0
    assert "constant in training: SkinThickness" in outcome.out
    assert math.isfinite(outcome.summary["test"]["loss"])


def test_columns_are_chosen_and_dropped(table):
    assert table(text_of(), features=["b", "a"])[1].feature_names == ("b", "a")
    assert table(text_of(), features="b")[1].feature_names == ("b",)
    assert table(text_of(), drop=["c", "a"])[1].feature_names == ("b",)
    broken = text_of("1,high,x,3", "1,,x,3")
    assert table(broken, drop=["b"])[1].feature_names[0] == "a"  # an unused column may be broken


# Missing cells.

GAPS = [*(f"{i},{i % 7},{'xyz'[i % 3]},{i}" for i in range(60)), ",3,x,60", "61,,y,61", "62,4,,62"]


def test_missing_cells_are_filled_with_the_mean_of_the_training_rows(table):
    splits, spec = table(text_of(rows=GAPS), missing="mean")
    assert "filled in missing cells: a 1, b 1, c 1" in spec.notes
    parts = splits.train, splits.val, splits.test
    inputs = torch.cat([part.inputs for part in parts])
    numbers = torch.cat([spec.in_units(part.targets) for part in parts])[:, 0].round().long().tolist()
    by_number = dict(zip(numbers, inputs, strict=True))
    assert by_number[60][0] == 0
    assert by_number[61][1] == 0
    assert by_number[62][2:].tolist() == [0, 0, 0]
    train = [n for n in spec.in_units(splits.train.targets)[:, 0].round().long().tolist() if n != 60]
    assert spec.feature_mean[0].item() == pytest.approx(sum(train) / len(train))


def test_rows_with_missing_cells_are_dropped_and_counted(table):
    splits, spec = table(text_of("1,2,x,", rows=GAPS), missing="drop")
    assert same(splits, table(text_of(rows=GAPS[:60]))[0])
    assert "dropped for missing cells: 4 of 64 rows" in spec.notes
    _, spec = table(text_of("1,2,x,", rows=GAPS), missing="mean")
    assert "left out without a target: 1 of 64 rows" in spec.notes
    with pytest.raises(DataError, match="0 rows without a missing cell"):
        table("a,b,y\n" + ",1,1\n1,,2\n" * 9, missing="drop")
    with pytest.raises(DataError, match="line 64, column 'b': 'bad'"):
        table(text_of("1,bad,x,1", rows=GAPS[:62]), missing="drop")


# The target.


@pytest.mark.parametrize(
    ("values", "task", "found", "class_names", "note"),
    [
        ([0, 1], "auto", "binary", "0 1", "has the values 0 and 1"),
        ([2, 1], "auto", "binary", "1 2", "has the values 1 and 2"),
        (["no", "yes"], "auto", "binary", "no yes", "has the values no and yes"),
        (["true", "false"], "auto", "binary", "false true", "has the values false and true"),
        ([0, 1, 2], "auto", "multiclass", "0 1 2", "has 3 classes"),
        (["b", "a", "c"], "auto", "multiclass", "a b c", "has 3 classes"),
        ([1, 2, 3], "auto", "regression", "", "has 3 whole numbers, 1, 2, 3; data.task=multiclass makes them classes"),
        ([-1, 0, 1, 2], "auto", "regression", "", "has 4 whole numbers, -1, 0, 1, 2; data.task=multiclass"),
        ([0.5, 1.5, 2.5], "auto", "regression", "", "has 3 different numbers"),
        (range(60), "auto", "regression", "", "has 60 different numbers"),
        ([3, 5, 8], "multiclass", "multiclass", "3 5 8", None),
        ([0, 1], "multiclass", "multiclass", "0 1", None),
        ([0.5, 2], "binary", "binary", "0.5 2", None),
        ([0, 1], "regression", "regression", "", None),
    ],
)
def test_the_task_is_inferred_from_the_target_with_a_note(table, values, task, found, class_names, note):
    values = list(values)
    splits, spec = table("a,y\n" + "".join(f"{i},{values[i % len(values)]}\n" for i in range(60)), task=task)
    assert spec.task == found
    assert spec.class_names == tuple(class_names.split())
    assert [f"the target 'y' {note}" in line for line in spec.notes] == ([True] if note else [])
    row = columns(splits, spec)["a"].round().long() % len(values)
    if found == "regression":
        assert spec.in_units(splits.train.targets)[:, 0].tolist() == pytest.approx([values[i] for i in row], abs=1e-4)
        return
    codes = [class_names.split().index(str(values[i])) for i in row]
    assert splits.train.targets.flatten().tolist() == codes
    assert splits.train.targets.dtype == (torch.int64 if found == "multiclass" else torch.float32)
    assert spec.out_features == (len(values) if found == "multiclass" else 1)


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([3, 5, 8], "binary", "3 different values, 3, 5, 8; binary needs 2"),
        ([-1, 0, 1, 2], "binary", "4 different values, -1, 0, 1, 2; binary needs 2"),
        (range(60), "multiclass", "60 different values.*too many for classes"),
        (["no", "yes"], "regression", "text; a regression needs numbers"),
        (
            [0] * 30 + [1] * 29 + [5],
            "auto",
            "line 61, column 'y': '5' where nearly all rows are 0 or 1.*data.task=regr",
        ),
        ([0] * 30 + [1] * 29 + ["yes"], "auto", "line 61, column 'y': 'yes' is not a number"),
    ],
)
def test_a_target_that_does_not_fit_its_task_is_refused(table, values, task, message):
    values = list(values)
    with pytest.raises(DataError, match=message):
        table("a,y\n" + "".join(f"{i},{values[i % len(values)]}\n" for i in range(60)), task=task)


def test_splits_are_stratified_by_class():
    splits, _ = tabular.iris()
    for part, share in [(splits.train, 35), (splits.val, 5), (splits.test, 10)]:
        assert torch.bincount(part.targets).tolist() == [share] * 3


def test_classes_with_few_rows_get_a_note(table):
    _, spec = table("a,y\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(60)) + "1,Yes\n")
    assert "classes with few rows: Yes (1; a typo of yes?)" in spec.notes


RATINGS = [n % 6 + 0.5 * (n % 20 == 1) for n in range(100)]  # one in twenty is between two whole numbers
RAIN = [0.0] * 90 + [1.0] * 2 + [1.1 + n / 4 for n in range(8)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1] * 50 + [0.5], "line 102, column 'y': '0.5' where nearly all rows are 0 or 1, .*data.task=regression"),
        ([0] * 99 + [1, 0.5], "line 102, column 'y': '0.5'"),
        ([1, 2] * 50 + [1.5], "line 102, column 'y': '1.5' where nearly all rows are 1 or 2"),
        ([0, 1, 2] * 50 + [1.5], "line 152, column 'y': '1.5' where nearly all rows are 0, 1 or 2"),
        ([0, 1, 2] * 50 + [-999], "line 152, column 'y': '-999'"),
        (RATINGS, None),
        ([0, 0.5, 1, 1.5, 2] * 20, None),
        ([*range(1, 6)] * 20 + [3.5], None),  # a regression without the last one, too
        (RAIN, None),
    ],
)
def test_a_target_that_only_a_few_rows_keep_from_being_classes_is_refused(table, values, message):
    content = "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    if message:
        with pytest.raises(DataError, match=message):
            table(content)
    assert table(content, task="regression" if message else "auto")[1].task == "regression"


# A test file.


def test_a_test_file_is_encoded_like_the_training_rows(table, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("\n".join(["y;c;b;a", *(";".join(reversed(row.split(","))) for row in ROWS)]))
    splits, spec = table(text_of(), test_path=str(test), val_fraction=0.25)
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [45, 15, 60]
    a = splits.test.inputs[:, 0].double() * spec.feature_std[0] + spec.feature_mean[0]
    assert a.round().tolist() == list(range(60))
    assert spec.in_units(splits.test.targets)[:, 0].tolist() == pytest.approx(
        [i * 3 % 11 / 2 for i in range(60)], abs=1e-5
    )
    train = spec.in_units(splits.train.targets)[:, 0]
    assert spec.target_mean == pytest.approx(train.mean().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,y\n1,p\n2,Klingon\n", "test.csv: line 3, column 'y': 'Klingon' is not a class .*: p, q"),
        ("a,y\n1,p\nhigh,q\n", "test.csv: line 3, column 'a': 'high' is not a number"),
        ("a,y\n1,p\n,q\n", "test.csv: line 3, column 'a': an empty cell"),
        ("a,y\n1,\n3,\n", "test.csv: 0 rows without a missing cell"),
        ("a,y\n1,p\n3\n", "test.csv: line 3 has 1 field, expected 2"),
        ("b,y\n1,p\n", "test.csv: no column 'a'"),
        ("a,y\n", "test.csv: 0 rows"),
    ],
)
def test_a_broken_test_file_is_refused(table, tmp_path, content, message):
    (tmp_path / "test.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        table("a,y\n" + "1,p\n2,q\n" * 30, test_path=str(tmp_path / "test.csv"), missing="error")


def test_missing_cells_of_a_test_file_follow_the_same_policy(table, tmp_path):
    (tmp_path / "test.csv").write_text("a,y\n1,p\n,q\n")
    rows, options = "a,y\n" + "1,p\n2,q\n" * 30, {"test_path": str(tmp_path / "test.csv")}
    splits, spec = table(rows, missing="drop", **options)
    assert len(splits.test.targets) == 1
    assert "test.csv: dropped for missing cells: 1 of 2 rows" in spec.notes
    splits, spec = table(rows, missing="mean", **options)
    assert splits.test.inputs[1].item() == 0
    assert "test.csv: filled in missing cells: a 1" in spec.notes


def test_an_encoder_survives_as_json(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,c,y\n1,01,p\n3,1A,q\n5,01,p\n")
    file = open_table(str(path))
    frame = file.read(text=["c"])
    fitted = tuple(fit_column(frame[name], torch.tensor([0, 1]).numpy())[0] for name in ("a", "c"))
    encoder = TableEncoder(fitted, Target("y", "binary", ("p", "q")), fill=True)
    assert encoder.text == ("c", "y")
    loaded = from_plain(TableEncoder, json.loads(json.dumps(asdict(encoder))), "encoder")
    assert loaded == encoder
    path.write_text("c,y,a\n01,q,1\n1,p,\n,p,5\n")  # 1 is an unknown category, not a number
    file = open_table(str(path))
    frame = file.read(text=loaded.text)
    assert loaded.encode(frame, file.error).tolist() == [[-1, 1, 0], [0, 0, 0], [3, 0, 0]]
    assert loaded.encode_target(frame, file.error).tolist() == [1, 0, 0]
    with pytest.raises(DataError, match=r"line 3, column 'a': an empty cell where a value was expected"):
        replace(loaded, fill=False).encode(frame, file.error)


def test_a_row_too_far_from_the_training_rows_is_refused(table, tmp_path):
    (tmp_path / "test.csv").write_text("a,y\n3e38,1\n")
    rows = "a,y\n" + "".join(f"{i % 2}e-9,{i % 3 / 2}\n" for i in range(60))
    with pytest.raises(DataError, match=r"test.csv: line 2, column 'a': '3e38' is too far"):
        table(rows, test_path=str(tmp_path / "test.csv"))


# Named tables.


def test_boston_matches_published_facts(real_data):
    splits, spec = tabular.boston(root=str(real_data), features=["rm"], val_fraction=0, test_fraction=0)
    x, y = columns(splits, spec)["rm"], spec.in_units(splits.train.targets.double())[:, 0]
    assert len(y) == 506
    assert (y > 49.999).sum().item() == 16
    ones = torch.stack([x, torch.ones_like(x)], 1)
    residuals = y - ones @ torch.linalg.lstsq(ones, y).solution
    assert residuals.square().mean().item() == pytest.approx(43.60, abs=0.005)
    _, spec = tabular.boston(root=str(real_data))
    assert (spec.in_shape, spec.target_name, spec.task, spec.notes) == ((13,), "medv", "regression", ())
    assert spec.feature_names[3] == "chas"


def test_pima_matches_published_facts(real_data):
    splits, spec = tabular.pima(root=str(real_data))
    labels = torch.cat([part.targets for part in (splits.train, splits.val, splits.test)])
    assert torch.bincount(labels[:, 0].long()).tolist() == [500, 268]
    assert (spec.in_shape, spec.target_name, spec.task, spec.notes) == ((8,), "Outcome", "binary", ())
    assert tabular.pima(root=str(real_data), drop=["Insulin"])[1].in_shape == (7,)


def test_the_linear_model_on_boston_equals_the_closed_form(real_data, dltrain):
    command = "data=boston", f"data.root={real_data}", "model=linear", "optim=lbfgs", "data.batch_size=full"
    summary = dltrain(*command, "baselines=auto").summary
    assert summary["test"]["rmse"] == pytest.approx(summary["baselines"]["least squares"]["rmse"], rel=1e-3)
    assert summary["baseline"] == summary["baselines"]["gradient boosting"]  # the best of them
    assert len(summary["learned"]["w"]) == 13


@pytest.mark.parametrize("name", ["boston", "pima"])
def test_a_missing_table_says_which_file_to_put_where(tmp_path, monkeypatch, name):
    def no_network(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    expected = r"(boston|pima_diabetes).csv: no such file.*Network is unreachable.*(medv|Outcome), .*data=digits, "
    with pytest.raises(DataError, match=f"{tmp_path}/.*{expected}diabetes, iris, wine or breast_cancer") as refusal:
        getattr(tabular, name)(root=str(tmp_path / "new"))
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_network_that_never_answers_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.data._download.PATIENCE_S", 0.1)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: __import__("time").sleep(1) or [])
    with pytest.raises(DataError, match=r"no data received for 0.1 s"):
        tabular.boston(root=str(tmp_path))


def test_a_download_from_openml_is_cached(tmp_path, monkeypatch):
    asked = []

    def fetch(*, data_id, **_):
        asked.append(data_id)
        names = ["preg", "plas", "pres", "skin", "insu", "mass", "pedi", "age"]
        data = pd.DataFrame({name: [float(i * k) for i in range(30)] for k, name in enumerate(names, 1)})
        labels = pd.Series(["tested_positive" if i % 3 else "tested_negative" for i in range(30)], dtype="category")
        return datasets._base.Bunch(data=data, target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    first, spec = tabular.pima(root=str(tmp_path / "new"))
    again, _ = tabular.pima(root=str(tmp_path / "new"))
    assert asked == [37]
    assert same(first, again)
    assert spec.feature_names[5] == "BMI"
    glucose = columns(first, spec)["Glucose"].round() / 2
    assert first.train.targets[:, 0].tolist() == [float(i % 3 > 0) for i in glucose]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pima_diabetes.csv"]


@pytest.mark.parametrize(
    ("name", "task", "num_rows", "num_features", "class_names"),
    [
        ("diabetes", "regression", 442, 10, ()),
        ("iris", "multiclass", 150, 4, ("setosa", "versicolor", "virginica")),
        ("wine", "multiclass", 178, 13, ("class_0", "class_1", "class_2")),
        ("breast_cancer", "binary", 569, 30, ("malignant", "benign")),
    ],
)
def test_embedded_tables_match_scikit_learn(name, task, num_rows, num_features, class_names):
    splits, spec = getattr(tabular, name)(seed=3)
    reference = getattr(datasets, f"load_{name}")()
    assert (spec.task, spec.in_shape, spec.class_names) == (task, (num_features,), class_names)
    assert spec.feature_names == tuple(reference.feature_names)
    assert spec.notes == ()
    parts = splits.train, splits.val, splits.test
    inputs = torch.cat([part.inputs for part in parts]).double() * spec.feature_std + spec.feature_mean
    targets = torch.cat([spec.in_units(part.targets) for part in parts]).flatten()
    assert len(inputs) == num_rows
    assert inputs.sum().item() == pytest.approx(reference.data.sum(), rel=1e-4, abs=1e-3)
    assert sorted(targets.tolist()) == pytest.approx(sorted(reference.target.tolist()), rel=1e-5)


ROW = "1,2.5\n"
PARTS = {
    "numbers": ROW * 20,
    "whole numbers first": "1,2\n" * 9 + ROW * 11,
    "a missing cell": ROW * 15 + "?,3\n" + ROW * 4,
    "a word in a later part": ROW * 15 + "x,3\n" + ROW * 4,
    "words": "x,3\n" * 20,
    "a line that is too long": ROW * 15 + "1,2,3\n" + ROW * 4,
    "a line that is too short": ROW * 15 + "1\n" + ROW * 4,
    "nothing": "",
}


@pytest.mark.parametrize("case", PARTS)
def test_a_large_file_read_in_parts_equals_the_whole(tmp_path, monkeypatch, case):
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\n{PARTS[case]}")

    def found():
        try:
            file = open_table(str(path))
            return read_table(file, file.names).frame
        except DataError as error:
            return str(error)

    whole = found()
    monkeypatch.setattr("trainer.data._table.file.LARGE", 0)
    monkeypatch.setattr("trainer.data._table.file.ROWS", 7)
    in_parts = found()
    if isinstance(whole, str):
        assert in_parts == whole
    else:
        pd.testing.assert_frame_equal(in_parts, whole)


def test_a_table_that_memory_does_not_hold_is_not_read_again_for_its_mistake(table, monkeypatch):
    def read_csv(*_, **__):
        raise pd.errors.ParserError("Error tokenizing data. C error: out of memory")

    monkeypatch.setattr(pd, "read_csv", read_csv)
    with pytest.raises(MemoryError):
        table("a,y\n1,2\n")
