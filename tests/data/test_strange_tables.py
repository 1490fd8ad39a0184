"""Tables as people have them: the right value of each kind of trouble, and what is said about it."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from trainer.data import tabular
from trainer.data._table.numerals import Style, read_numbers
from trainer.data.division import Division
from trainer.data.tensors import DataSpec
from trainer.errors import DataError
from trainer.view.console import parameters_table

N = 60
X = [0.126 + n * 37 % 101 / 7 for n in range(N)]


def lines(header, rows):
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def table(tmp_path):
    """Write text to a file, and read it."""

    def read(content, target="y", *, name="table.csv", **options):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return tabular.csv(path=str(path), target=target, **options)

    return read


def column(made, name):
    """Return a column of the training rows, in the units of the file."""
    splits, spec = made
    at = spec.feature_names.index(name)
    return (splits.train.inputs[:, at].double() * spec.feature_std[at] + spec.feature_mean[at]).tolist()


def said(made, words):
    return any(words in note for note in made[1].notes)


# Numbers.


@pytest.mark.parametrize(
    ("words", "style", "values"),
    [
        (["4,297", "492", "1,234,567"], Style(), [4297, 492, 1234567]),
        (["4.297", "492"], Style(decimal=","), [4297, 492]),
        (["1.234,5", "0,25"], Style(decimal=","), [1234.5, 0.25]),
        (["1.234.567", "4.297", "492"], Style(), [1234567, 4297, 492]),
        (["1.234.567 €", "4.297 €", "0,5 €"], Style(), [1234567, 4297, 0.5]),
        (["1'234.5", "12"], Style(), [1234.5, 12]),
        (["1 234", "1\N{NO-BREAK SPACE}235", "1\N{NARROW NO-BREAK SPACE}236"], Style(), [1234, 1235, 1236]),
        (["90%", "12.5 %", "0"], Style(), [90, 12.5, 0]),
        (["$5,500", "-$3", "$-4", "($2)"], Style(), [5500, -3, -4, -2]),
        (["12 €", "3 €"], Style(), [12, 3]),
        (["EUR 12", "EUR 1,200.50"], Style(), [12, 1200.5]),
        (["12 kg", "3.5kg"], Style(), [12, 3.5]),
        (["12 m²", "3 m²"], Style(), [12, 3]),
        (["\N{MINUS SIGN}5", "5"], Style(), [-5, 5]),
        (["True", "FALSE", "NA"], Style(), [1, 0, np.nan]),
        (["5", "?", "-", "None", "n/a", "NULL", "#NV"], Style(), [5, *[np.nan] * 6]),
        (["4,297", "1,23,456", "12,34,567.50", "100"], Style(), [4297, 123456, 1234567.5, 100]),  # as in India
        (["₹ 1,23,456", "-₹ 4,297"], Style(), [123456, -4297]),
        (["1,234-", "12", "1,234.50-"], Style(), [-1234, 12, -1234.5]),  # as SAP exports
        (["1.234,50- EUR", "0,5 EUR"], Style(decimal=","), [-1234.5, 0.5]),
        (["12 -", "3"], Style(), [-12, 3]),
        (["(1,234)", "56", "(7)"], Style(), [-1234, 56, -7]),  # as accountants write
        (["$ (1,234.00)", "$56", "($7)", "$(8)"], Style(), [-1234, 56, -7, -8]),
        (["0,25", "0.75", "12"], Style(), [0.25, 0.75, 12]),  # both decimal signs
        (["0,25", "0.75"], Style(decimal=","), [0.25, 0.75]),
        (["1.234,5", "1,234.5", "-0,5"], Style(), [1234.5, 1234.5, -0.5]),
        (["1,142", "0.5", "1.066"], Style(thousands=""), [1.142, 0.5, 1.066]),
        (["1,142", "0,5", "0.5"], Style(thousands=","), [1142, 0.5, 0.5]),
    ],
)
def test_numbers_are_read_as_people_write_them(words, style, values):
    found = read_numbers(words, np.ones(len(words), int), style)
    assert not found.bad.any()
    assert not found.cure
    np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        (["5 kg", "6 kg", "500 g"], [False, False, True]),
        (["$5", "$6", "€7"], [False, False, True]),
        (["1,500", "2,500", "3,50"], [False, False, True]),
        (["234,297", "1,23,456"], [False, True]),
        (["1,234,297", "1,23,456"], [False, True]),
        (["-5", "12-"], [False, True]),
        (["12", "7-", "8+"], [False, True, True]),
        (["3", "2-", "1-"], [False, True, True]),  # grades
        (["12", "5-HT", "3-4", "-5-"], [False, True, True, True]),
        (["0,297", "1"], [True, False]),
        (["12:30", "2026-01-01", "A5", "1.2.3"], [True] * 4),
    ],
)
def test_words_that_differ_from_the_others_are_no_numbers(words, bad):
    found = read_numbers(words, np.array([2, *[1] * (len(words) - 1)]), Style())
    assert found.bad.tolist() == bad


def test_thousands_are_read_and_said(table):
    rows = [f'"{n * 997 % 9000 + 1000:,}",{n * 997 % 9000 + 1000}' for n in range(N)]
    made = table(lines("area,y", rows))
    assert column(made, "area") == pytest.approx(made[1].in_units(made[0].train.targets)[:, 0].tolist(), rel=1e-5)
    assert said(made, "read as numbers: area (")
    rows = [f"{n * 997 % 9000 + 1000:,}".replace(",", ".") + f";{n},5" for n in range(N)]
    made = table(lines("area;y", rows), decimal="comma")
    areas = sorted(n * 997 % 9000 + 1000 for n in range(N))
    assert set(np.round(column(made, "area"))) <= set(areas)


def test_a_column_that_may_be_thousands_or_fractions_is_not_guessed(table):
    content = lines("a;y", [f"{n % 9 + 1},{n % 899 + 100};{n}" for n in range(N)])
    with pytest.raises(DataError, match=r"data.thousands=comma.*data.decimal=comma$"):  # no command decides it
        table(content)
    assert min(column(table(content, thousands="comma"), "a")) >= 1000
    assert max(column(table(content, decimal="comma"), "a")) < 10


def test_an_exponent_follows_no_thousands(table):
    content = lines("a;y", [f"{n % 9 + 1},{n % 899 + 100}E+02;{n}" for n in range(N)])
    with pytest.raises(DataError, match=r"data.decimal=comma$"):
        table(content)
    assert max(column(table(content, decimal="comma"), "a")) < 1000


def test_points_before_three_digits_may_be_thousands(table):
    content = lines("a;y", [f"{n % 9 + 1}.{n * 7 % 899 + 100};{n}" for n in range(N)])
    assert said(table(content), "check: a (1.100 is a fraction; data.decimal=comma reads thousands)")
    assert not said(table(content.replace(";", ",")), "check")
    mixed = content + "492;1\n"
    with pytest.raises(DataError, match=r"line 2, column 'a': '1.100' has three digits .*data.decimal=comma$"):
        table(mixed)
    assert max(column(table(mixed, decimal="comma"), "a")) > 9000
    assert not said(table(mixed, thousands="none"), "check")
    assert not said(table(mixed + "0.5;1\n"), "check")


def test_numbers_of_another_file_are_said(table, tmp_path):
    (tmp_path / "test.csv").write_text('a,y\n"1,234",1\n')
    made = table(lines("a,y", [f"{n % 9},{n % 7}" for n in range(N)]), test_path=str(tmp_path / "test.csv"))
    assert said(made, "test.csv: read as numbers: a (1,234 is 1234)")


def test_a_unit_other_than_in_training_is_refused(table, tmp_path):
    (tmp_path / "test.csv").write_text("w,y\n500 g,1\n")
    content = lines("w,y", [f"{n % 9 + 1} kg,{n % 7}" for n in range(N)])
    with pytest.raises(DataError, match=r"test.csv: column w: g, in training kg"):
        table(content, test_path=str(tmp_path / "test.csv"))


# Missing cells.


def test_marks_are_missing_among_numbers_and_words_among_words(table):
    made = table(lines("a,c,y", [f"{'-' if n % 6 == 0 else n % 13},{['NA', 'EU'][n % 2]},{n % 2}" for n in range(N)]))
    assert made[1].feature_names == ("a", "a=(missing)", "c=EU", "c=NA")
    assert said(made, "filled in missing cells with the median, or a category of their own: a 10")
    assert said(made, "words, not missing cells: c (NA 30); data.missing_marks=[NA]")
    made = table(lines("a,y", [f"{n},{['None', 'Mild', 'Severe'][n % 3]}" for n in range(N)]))
    assert made[1].class_names == ("Mild", "None", "Severe")
    assert said(made, "y (None 20)")
    made = table(lines("a,y", [f"{n},{['None', 'Mild', 'Severe'][n % 3]}" for n in range(N)]), missing_marks=["None"])
    assert made[1].class_names == ("Mild", "Severe")
    assert said(made, "left out without a target: 20 of 60 rows")


def test_marks_among_the_labels_are_said(table):
    content = lines("a,y", [f"{n},{['nan', '1', '2'][n % 3]}" for n in range(N)])
    assert said(table(content), "read as missing: y (nan 20); data.text=[y] makes it a class")
    assert table(content, text=["y"])[1].class_names == ("1", "2", "nan")


@pytest.mark.parametrize(("mark", "other"), [("-999", "{}.5"), ("99", "{}"), ("-9", "{}"), ("9999", "-{}")])
def test_a_number_far_from_the_others_may_mark_missing_cells(table, mark, other):
    content = lines("a,y", [f"{mark if n % 6 == 0 else other.format(n % 7)},{n % 2}" for n in range(N)])
    assert said(table(content), f"check: a ({mark} in 10 cells; data.missing_marks=[{mark}] makes it missing)")
    assert table(content, missing_marks=[mark])[1].feature_names == ("a", "a=(missing)")


def test_missing_numbers_are_the_median_with_an_input_that_says_so(table):
    values = [None if n % 5 == 0 else (1000.0 if n % 7 == 0 else n % 13) for n in range(N)]
    rows = [f"{'' if value is None else value},{n}" for n, value in enumerate(values)]
    splits, spec = table(lines("a,y", rows), task="regression")
    at = spec.in_units(splits.train.targets)[:, 0].round().long().tolist()
    inputs = splits.train.inputs.double() * spec.feature_std + spec.feature_mean
    median = np.median([values[n] for n in at if values[n] is not None])
    expected = [median if values[n] is None else values[n] for n in at]
    assert inputs[:, 0].tolist() == pytest.approx(expected, abs=1e-3)
    assert inputs[:, 1].tolist() == [values[n] is None for n in at]


def test_a_target_with_gaps_loses_those_rows_only(table):
    rows = [f"{'' if n % 4 == 0 else n},{'' if n % 5 == 0 else n % 2}" for n in range(N)]
    splits, spec = table(lines("a,y", rows), missing="mean")
    assert sum(len(part.targets) for part in (splits.train, splits.val, splits.test)) == 48
    assert "left out without a target: 12 of 60 rows" in spec.notes


# Columns.


def test_a_mixed_column_is_text_and_a_stray_word_is_an_error(table):
    rows = [f"{n % 5},{f'PC {n % 3}' if n % 4 == 0 else n % 10},{n % 2}" for n in range(N * 2)]
    rows = [row.replace("PC 0", f"A/5 {n % 9}") for n, row in enumerate(rows)]
    made = table(lines("a,ticket,y", rows))
    assert said(made, "read as text: ticket (30 of 120 cells are not numbers)")
    with pytest.raises(
        DataError, match=r"line 62, column 'a': 'unknown' is not a number; data.missing_marks=\[unknown"
    ):
        table(lines("a,b,y", [*(f"{n % 7},{n % 3},{n % 2}" for n in range(N)), "unknown,1,1"]))


def test_all_problems_are_told_at_once_with_a_command_that_works(table, tmp_path):
    rows = [
        f"{'low' if n == 3 else n % 7},{'n.k.' if n == 9 else n % 5},{'so what?' if n == 5 else n % 2}"
        for n in range(N)
    ]
    with pytest.raises(DataError) as refusal:
        table(lines("a,b,y", rows))
    message = str(refusal.value)
    for place in ("line 5, column 'a': 'low'", "line 11, column 'b': 'n.k.'", "line 7, column 'y': 'so what?'"):
        assert place in message
    rows = [row.replace("so what?", "1").replace("n.k.", "1") for row in rows]
    with pytest.raises(
        DataError, match=rf"; dltrain data=csv data.path={tmp_path}/table.csv data.target=y 'data.mis.*low"
    ):
        table(lines("a,b,y", rows))
    made = table(lines("a,b,y", rows), missing_marks=["low"])
    assert said(made, "or a category of their own: a 1")


@pytest.mark.parametrize("mark", ["#BEZUG!", "s/d", "k.A.", "fehlt", "не указано"])
def test_the_cure_of_marks_in_any_language_keeps_the_numbers(table, mark):
    content = lines("a,y", [f"{mark if n % 9 == 0 else n % 13},{n % 2}" for n in range(N)])
    with pytest.raises(DataError, match=r"'data.missing_marks=.*'$"):
        table(content)
    made = table(content, missing_marks=[mark])
    assert made[1].feature_names == ("a", "a=(missing)")


@pytest.mark.parametrize("units", [["kg", "g", ""], ["K", "M", "M"]])
def test_a_column_in_several_units_is_said_when_it_is_left_out(table, units):
    made = table(lines("w,a,y", [f"{n + 0.5}{units[n % 3]},{n % 7},{n % 2}" for n in range(N)]))
    assert made[1].feature_names == ("a",)
    assert said(made, "left out: w (units differ: ")


def test_a_first_line_of_data_is_no_header(table):
    content = lines(
        "5.1,3.5,1.4,setosa", [f"{n % 9 / 2},{n % 7 / 3},{n % 5},{['setosa', 'iris'][n % 2]}" for n in range(N)]
    )
    with pytest.raises(DataError, match=r"looks like data, not a header; data.header=false data.target=-1"):
        table(content, "setosa")
    named = table(lines("x,1e3", [f"{n},{n % 2}" for n in range(N)]), "1e3")  # a name, beside another that is none
    assert named[1].target_name == "1e3"
    splits, _ = table(content, -1, header=False)
    assert sum(len(part.targets) for part in (splits.train, splits.val, splits.test)) == N + 1


KEYS = [
    "id",
    "PassengerId",
    "index",
    "Unnamed: 0",
    "row_number",
    "CustomerNumber",
    "Kundennummer",
    "patient",
    "zip code",
]


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_left_out_unless_kept(table, name):
    content = lines(f"{name},a,y", [f"{n + 1},{n % 7},{n % 2}" for n in range(N)])
    made = table(content)
    assert made[1].feature_names == ("a",)
    assert said(made, f"left out: {name} (unique key; data.keep=[")
    assert table(content, keep=[name])[1].feature_names == (name, "a")
    assert table(content, features=[name])[1].feature_names == (name,)


def test_whole_numbers_that_all_differ_may_be_a_key_and_are_said(table):
    values = [1000 + n * 37 % N * 11 for n in range(N)]  # with gaps, in no order
    for name in ("sample", "price"):  # no name tells a key from a measurement
        made = table(lines(f"{name},a,y", [f"{value},{n % 7},{n % 2}" for n, value in enumerate(values)]))
        assert made[1].feature_names == (name, "a")
        assert said(made, f"maybe a key, as whole numbers that all differ: {name}; data.drop=[{name}] leaves it out")
    made = table(lines("sample,a,y", [f"{value},{n % 7},{n % 2}" for n, value in enumerate(values)]), drop=["sample"])
    assert made[1].feature_names == ("a",)
    for odd in ([1000, *values[1:]], [value / 2 for value in values]):  # a number twice; fractions
        odd[1] = odd[0]
        assert not said(table(lines("sample,a,y", [f"{v},{n % 7},{n % 2}" for n, v in enumerate(odd)])), "maybe a key")
    assert not said(table(lines("sample,y", [f"{value},{n % 2}" for n, value in enumerate(values)])), "maybe a key")


DAYS = np.datetime64("2019-12-30T01:02:03") + np.arange(N) * np.timedelta64(185 * 3600, "s")


@pytest.mark.parametrize(
    ("layout", "write"),
    [
        ("yyyymmdd", lambda day: f"{day:%Y%m%d}"),
        ("ddmmyyyy", lambda day: f"{day:%d%m%Y}"),
        ("mmddyyyy", lambda day: f"{day:%m%d%Y}".lstrip("0")),
        ("yyyymmdd", lambda day: "0" if day.day == 4 else "99991231" if day.day == 5 else f"{day:%Y%m%d}"),
        ("yyyymm", lambda day: f"{day:%Y%m}"),
        ("yymmdd", lambda day: f"{day:%y%m%d}"),
        ("yyyymmddHHMMSS", lambda day: f"{day:%Y%m%d%H%M%S}"),
        ("Unix seconds", lambda day: f"{day.timestamp():.2f}"),
        ("Unix milliseconds", lambda day: f"{1000 * day.timestamp():.0f}"),
    ],
)
def test_times_that_are_read_as_one_number_are_said(table, layout, write):
    words = [write(day) for day in DAYS.astype(object)]
    made = table(lines("t,a,y", [f"{word},{n % 7},{n % 2}" for n, word in enumerate(words)]))
    assert made[1].feature_names == ("t", "a")
    assert said(made, f"times read as one number: t ({float(words[0]):.15g}, {layout}); data.drop=[t] leaves it out")
    assert not said(made, "maybe a key")
    words[7] = str(int(float(words[7])) * 3)  # one that is no time
    assert not said(table(lines("t,a,y", [f"{w},{n % 7},{n % 2}" for n, w in enumerate(words)])), "times")


def test_a_column_that_is_left_out_shows_what_looks_like_a_number(table):
    made = table(lines("t,a,y", [f"{n % 24}:{n % 60:02},{n % 7},{n % 2}" for n in range(N)]))
    assert said(made, "left out: t (not read as numbers, such as ")
    made = table(lines("r,a,y", [f"{n % 3}-{n % 3 + 5},{n % 7},{n % 2}" for n in range(N)]))
    assert said(made, "read as text: r (not read as numbers, such as ")
    with pytest.raises(DataError, match=r"left out: t \(not read as numbers, such as .*; data.keep=\[t\] uses it$"):
        table(lines("t,y", [f"{n % 24}:{n % 60:02},{n % 2}" for n in range(N)]))


def test_a_number_that_counts_the_rows_is_said(table):
    made = table(lines("t,a,y", [f"{1000 + n * 37 % N},{n % 7},{n % 2}" for n in range(N)]))
    assert said(made, "counts the rows: t; data.drop=[t] leaves it out")


# Labels and words.


@pytest.mark.parametrize("words", [("FALSE", "TRUE"), ("007", "010"), ("010", "9"), ("1.10", "1.20"), ("no", "yes")])
def test_labels_are_as_they_were_written(table, words, tmp_path):
    (tmp_path / "test.csv").write_text(lines("a,y", [f"1,{words[1]}", f"1,{words[0]}"]))
    splits, spec = table(lines("a,y", [f"{n},{words[n % 2]}" for n in range(N)]), test_path=str(tmp_path / "test.csv"))
    assert spec.class_names == words
    assert splits.test.targets[:, 0].tolist() == [1, 0]


def test_numbers_with_a_leading_zero_are_codes(table):
    content = lines("zip,y", [f"{['01234', '02139', '90210'][n % 3]},{['007', '010', '1'][n % 3]}" for n in range(N)])
    made = table(content)
    assert made[1].class_names == ("007", "010", "1")
    assert said(made, "check: zip (01234 is 1234; data.text=[zip] keeps codes)")
    assert table(content, text=["zip"])[1].feature_names == ("zip=01234", "zip=02139", "zip=90210")
    assert table(content, task="regression")[1].task == "regression"
    many = table(lines("a,y", [f"{n % 7},{n:02d}" for n in range(N)]))
    assert many[1].task == "regression"
    assert said(many, "check: y (01 is 1; data.text=[y] keeps codes)")


def test_whole_numbers_of_64_bits_without_a_sign_are_read(table):
    content = lines("a,y", [f"{2**63 + n % 2},{n % 2}" for n in range(N)])
    assert table(content)[1].feature_names == ("a",)


def test_a_word_for_many_labels_is_a_class(table):
    content = lines("a,y", [f"{n},{['1', '2', '3', 'other'][n % 4]}" for n in range(N)])
    with pytest.raises(DataError, match=r"dltrain .*'data.text=\[y\]'$"):
        table(content)
    assert table(content, text=["y"])[1].class_names == ("1", "2", "3", "other")


def test_one_point_among_decimal_commas_does_not_make_text(table):
    content = lines("a;y", [f"{n / 4:.2f};{n % 2}".replace(".", "," if n != 7 else ".") for n in range(N)])
    for made in (table(content), table(content, decimal="comma")):
        assert {round(value, 2) for value in column(made, "a")} <= {n / 4 for n in range(N)}
        assert made[1].feature_names == ("a",)
    assert said(table(content), "read as numbers: a (0,00 is 0)")


def test_no_cure_makes_thousands_of_fractions(table):
    rows = [f"{n % 9 + 1}.{n * 7 % 899 + 100};{n % 2}" for n in range(N)]
    with pytest.raises(DataError) as refusal:
        table(lines("a;y", [*rows, "0,5;1"]))
    assert "line 62, column 'a': '0,5' is not a number; data.missing_marks" in str(refusal.value)
    rows = [row.replace(".", " ").replace(";", ",5;") for row in rows]
    with pytest.raises(DataError, match=r"line 2, column 'a': '1 100,5' is not a number; data.decimal=comma"):
        table(lines("a;y", rows))
    assert min(column(table(lines("a;y", rows), decimal="comma"), "a")) > 1000


@pytest.mark.parametrize("separator", [",", ";"])
def test_both_decimal_signs_in_a_column_are_read_where_each_cell_has_one_reading(table, separator):
    values = [round(0.126 + n * 37 % 101 / 7, 3) for n in range(N)]

    def content(*places):
        words = [f"{value:.{places[n % len(places)]}f}" for n, value in enumerate(values)]
        words = [word.replace(".", ",") if n % 2 else word for n, word in enumerate(words)]
        return lines(separator.join("ay"), [f'"{word}"{separator}{n % 5}' for n, word in enumerate(words)])

    made = table(content(2), task="regression")
    assert {round(value, 2) for value in column(made, "a")} <= {round(value, 2) for value in values}
    assert said(made, "read as numbers: a (")
    with pytest.raises(DataError) as refusal:  # 1,142 is 1142 to some, and so is 1.142 to others
        table(content(3), task="regression")
    (cure,) = re.findall(r"(data.thousands=none)$", str(refusal.value))
    assert re.search(
        r"'\d+[.,]\d{3}' is \d{4,} with .*data.thousands=(comma|point), \d+\.\d+ with ", str(refusal.value)
    )
    made = table(content(3), task="regression", thousands=cure.split("=")[1])
    assert {round(value, 3) for value in column(made, "a")} <= {*values}


def test_a_column_of_which_no_cell_tells_thousands_from_fractions_is_not_guessed(table):
    rows = [f'"{1 + n * 7 % 9}{",."[n % 2]}{100 + n * 37 % 899}",{n % 2}' for n in range(N)]
    with pytest.raises(DataError, match=r"'1,100' is 1100 with data.thousands=comma, 1.1 with data.thousands=none$"):
        table(lines("a,y", rows))
    assert max(column(table(lines("a,y", rows), thousands="none"), "a")) < 10
    assert max(column(table(lines("a,y", rows), thousands="comma"), "a")) > 1000


def test_labels_that_differ_in_case_are_said(table):
    made = table(lines("a,y", [f"{n},{['Yes', 'no', 'YES', 'No'][n % 4]}" for n in range(N)]))
    assert said(made, "y: differ in case or blanks only: Yes and YES, no and No")


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("ZÃ¼rich", "the encoding is another than in training"),
        ("ZÜRICH", "did you mean Zürich?"),
        ("Zurich", "did you mean Zürich?"),
        ("Qwxj", "unknown in training$"),
    ],
)
def test_unknown_words_are_counted_and_said_or_refused(table, tmp_path, cell, hint):
    (tmp_path / "test.csv").write_text(f"c,y\n{cell},1\nBasel,0\n", encoding="utf-8")
    content = lines("c,y", [f"{['Basel', 'Zürich'][n % 2]},{n % 2}" for n in range(N)])
    options = {"test_path": str(tmp_path / "test.csv")}
    with pytest.raises(DataError, match=f"test.csv: column c: 1 of 2 cells hold {cell}, unknown in training"):
        table(content, unknown="error", **options)
    notes = table(content, **options)[1].notes
    assert any(re.search(hint, note) and f"1 of 2 cells hold {cell}" in note for note in notes)


def test_composed_and_decomposed_letters_are_one_word(table, tmp_path):
    (tmp_path / "test.csv").write_text("c,y\nZu\N{COMBINING DIAERESIS}rich,1\n", encoding="utf-8")
    content = lines("c,y", [f"{['Basel', 'Zürich'][n % 2]},{n % 2}" for n in range(N)])
    splits, _ = table(content, test_path=str(tmp_path / "test.csv"), unknown="error")
    assert splits.test.inputs.tolist() == [[0, 1]]


# Files.


@pytest.mark.parametrize("above", ["sep=;", "# exported 2026-05-01; sensor 3", "# a\n# b"])
def test_lines_above_the_header_are_left_out(table, above):
    content = lines("a;y", [f"{n};{n % 2}" for n in range(N)])
    made = table(f"{above}\n{content}")
    assert torch.equal(made[0].train.inputs, table(content)[0].train.inputs)
    assert said(made, "above the header")
    with pytest.raises(DataError, match=rf"line {63 + above.count(chr(10))}, column 'a': 'high'"):
        table(f"{above}\n{content}high;1\n")


def test_a_line_of_units_is_left_out(table):
    rows = [f"{n},{n % 2}" for n in range(N)]
    made = table(lines("a,y", ["[m],[-]", *rows]))
    assert torch.equal(made[0].train.inputs, table(lines("a,y", rows))[0].train.inputs)
    assert said(made, "units below it")


ROWS = [f"{n + 0.5},{n % 7},{n % 2}" for n in range(N)]


@pytest.mark.parametrize(
    "above",
    [
        "Sales report 2026",
        "Sales report 2026\n\nmade by me",
        "Sales report 2026,,",
        "Report,,\n,,\nof May,2026",
        '"Sales\nof May"',
        "# a\nSales",
    ],
)
def test_a_title_above_the_header_is_left_out(table, above):
    expected = table(lines("a,b,y", ROWS))
    made = table(f"{above}\n{lines('a,b,y', ROWS)}")
    assert torch.equal(made[0].train.inputs, expected[0].train.inputs)
    assert said(made, f"lines left out: {above.count(chr(10)) + 1} above the header")
    with pytest.raises(DataError, match=rf"line {N + 3 + above.count(chr(10))}, column 'a': 'high'"):
        table(f"{above}\n{lines('a,b,y', [*ROWS, 'high,1,1'])}")


def test_years_may_be_names_below_a_title(table):
    rows = [f"c{n},X{n % 5},{n % 7}.5,{n % 5}.25,{n % 2},{n % 3}," for n in range(N)]
    content = lines('Data Source,World\n\nLast Updated,2026-01-28\n\nCountry,Code,2001,2002,2003,"2004",', rows)
    made = table(content, "2003", drop=["Country"])
    assert made[1].feature_names[-3:] == ("2001", "2002", "2004")
    assert said(made, "lines left out: 4 above the header")


@pytest.mark.parametrize(
    ("first", "rows", "message"),
    [
        ("a,y", [f"r{row}" for row in ROWS], "line 2 has 3 fields|no column"),  # as R writes row names
        ("a", ["x,y", *(f"u{n % 5},{['no', 'yes'][n % 2]}" for n in range(N))], "line 1 has one column, 'a'"),
        ("a,,", ["u,v,w", *(f"u{n % 5},v,{['no', 'yes'][n % 2]}" for n in range(N))], "no column 'y'"),
    ],
)
def test_a_first_line_that_may_be_the_header_is_not_left_out(table, first, rows, message):
    with pytest.raises(DataError, match=message):
        table(lines(first, rows))


def run(command, folder):
    """Run the command that an error advises, in a folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, cwd=folder, env={**os.environ, "PATH": path})


def test_a_header_further_below_is_named_with_a_command_that_works(table, tmp_path):
    rows = [f"u{n % 5},v{n % 3},{['no', 'yes'][n % 2]}" for n in range(N)]
    with pytest.raises(DataError, match=r"no column 'y' in the first line, but in line 2; tail") as refusal:
        table(lines("of May,by me,", ["a,b,y", *rows]))
    run(str(refusal.value).partition("; ")[2].removesuffix(" makes that the first line"), tmp_path)
    made = tabular.csv(path=str(tmp_path / "table-from-line-2.csv"), target="y")
    assert torch.equal(made[0].train.inputs, table(lines("a,b,y", rows))[0].train.inputs)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_columns_of_one_name_are_refused_with_a_command_that_numbers_them(table, tmp_path, separator):
    content = lines("Report\na, a,b c,y", [f"00{n % 5},{n % 7},NA,{n % 2}" for n in range(N)]).replace(",", separator)
    with pytest.raises(DataError, match="line 2: 2 columns are called 'a', columns 1 and 2; python") as refusal:
        table(content)
    run(str(refusal.value).partition("; ")[2].partition(" numbers them")[0], tmp_path)
    path = str(tmp_path / "table-renamed.csv")
    made = tabular.csv(path=path, target="y", text=["a"], drop=["b c"])
    assert made[1].feature_names == (*(f"a=00{n}" for n in range(5)), "a.1")


@pytest.mark.parametrize("header", ["'a','b c','y'", "a,b c,y"])
def test_cells_in_single_quotes_are_read(table, header):
    made = table(lines(header, [f"'{n % 7 + 0.5}','{['its,', 'no'][n % 2]}',{n % 2}" for n in range(N)]))
    assert made[1].feature_names == ("a", "b c=its,", "b c=no")
    assert said(made, "cells are in single quotes")
    words = [f"{n},'tis {n % 3},{n % 2}" for n in range(N)]
    assert table(lines("a,b,y", words))[1].feature_names == ("a", *(f"b='tis {n}" for n in range(3)))


ROWS_OF_JSON = [
    {"a": n + 0.5, "b": {"c": "xyz"[n % 3], "d": n % 2 == 0}, "e": None if n % 9 else 3, "y": n % 2} for n in range(N)
]
PLAIN = [{"a": n + 0.5, "c": "xyz"[n % 3], "y": n % 2} for n in range(N)]


@pytest.mark.parametrize(
    "name", ["table.jsonl", "table.json", "wrapped.json", "deep.json", "pretty.json", "unnamed", "table.json.gz"]
)
def test_a_table_of_json_is_that_of_csv(table, tmp_path, name):
    value = {
        "wrapped.json": {"n": N, "data": ROWS_OF_JSON},
        "deep.json": {"result": {"fields": [{"id": "a"}], "rows": ROWS_OF_JSON}},
    }
    value = value.get(name, ROWS_OF_JSON)
    text = json.dumps(value, indent=1 if name == "pretty.json" else None)
    if name == "table.jsonl":
        text = "".join(f"{json.dumps(row)}\n" for row in ROWS_OF_JSON)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    made = tabular.csv(path=str(path), target="y", test_path=str(path))
    rows = [f"{n + 0.5},{'xyz'[n % 3]},{str(n % 2 == 0).lower()},{'' if n % 9 else 3},{n % 2}" for n in range(N)]
    (tmp_path / "test.csv").write_text(lines("a,b.c,b.d,e,y", rows))
    expected = table(lines("a,b.c,b.d,e,y", rows), test_path=str(tmp_path / "test.csv"))
    assert (
        made[1].feature_names
        == expected[1].feature_names
        == ("a", "b.c=x", "b.c=y", "b.c=z", "b.d", "e", "e=(missing)")
    )
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(made[0], part).inputs, getattr(expected[0], part).inputs)


@pytest.mark.parametrize("orient", ["records", "split", "columns", "index", "table", "list"])
def test_what_pandas_writes_as_json_is_read(table, tmp_path, orient):
    frame, path = pd.DataFrame(PLAIN), tmp_path / "table.json"
    path.write_text(json.dumps(frame.to_dict("list")) if orient == "list" else frame.to_json(orient=orient))
    made = tabular.csv(path=str(path), target="y", drop=["index"] if orient == "table" else [])
    expected = table(frame.to_csv(index=False))
    assert made[1].feature_names == ("a", "c=x", "c=y", "c=z")
    assert torch.equal(made[0].train.inputs, expected[0].train.inputs)


def test_a_table_of_json_is_refused_with_its_object_or_its_lists(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps([*PLAIN, {"a": "high", "c": "x", "y": 1}]))
    with pytest.raises(DataError, match=f"table.json: object {N + 1}, column 'a': 'high' is not a number"):
        tabular.csv(path=str(path), target="y")
    path.write_text(json.dumps({"splits": {"train": PLAIN, "test": PLAIN[:5]}}))
    with pytest.raises(
        DataError, match=r"which list holds the rows\? splits.train \(60\), splits.test \(5\); py"
    ) as refusal:
        tabular.csv(path=str(path), target="y")
    run(str(refusal.value).partition("; ")[2].partition(" makes table-rows.json")[0], tmp_path)
    assert json.loads((tmp_path / "table-rows.json").read_text()) == PLAIN
    path.write_text('[{"a": 1},\n{"a": }]')
    with pytest.raises(DataError, match="line 2: not JSON"):
        tabular.csv(path=str(path), target="y")


# Splits.


@pytest.mark.parametrize(("each", "sizes"), [(8, (280, 40, 80)), (6, (210, 30, 60)), (10, (350, 50, 100))])
def test_small_classes_share_the_rounding(each, sizes):
    targets = torch.arange(50).repeat(each)
    parts = Division().parts(targets)
    assert tuple(map(len, parts)) == sizes
    assert torch.cat(parts).sort().values.tolist() == list(range(50 * each))
    exact = (0.7, 0.1, 0.2)
    for part, fraction in zip(parts, exact, strict=True):
        assert (torch.bincount(targets[part], minlength=50) - each * fraction).abs().max() < 1


def test_a_class_of_one_row_is_trained_on():
    targets = torch.tensor([*range(40), *[40] * 60])
    train, *_ = Division().parts(targets)
    assert set(range(40)) <= set(targets[train].tolist())


# The command line.


def test_a_wide_linear_model_shows_its_largest_parameters():
    names = tuple(f"g{n}" for n in range(2000))
    table = parameters_table({"w": [float(n) for n in range(2000)]}, DataSpec("binary", (2000,), feature_names=names))
    assert [*table.columns[0].cells] == [*(f"w  g{n}" for n in range(1980, 2000)), "w  1,980 smaller ones"]


def test_names_in_a_list_are_quoted_by_the_cure(dltrain, tmp_path):
    (tmp_path / "t.csv").write_text(lines("size (m2),x,y", [f"{n % 9},{n % 7},{n % 2}" for n in range(N)]))
    command = ["data=csv", "data.path=t.csv", "data.target=y", "model=mlp", "dry_run=true"]
    outcome = dltrain(*command, "data.features=[size (m2),x]")
    assert outcome.code == 2
    cure = outcome.err.split('"')[1]
    assert cure == "data.features=['size (m2)',x]"
    assert dltrain(*command, cure).code == 0
