"""Override lines are parsed in one place."""

from pathlib import Path

import pytest

import trainer
from trainer.config.keys import axis_values, bare, key_of, key_values, merged, parse_line, value_of, without


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("optim.lr=0.1", ("", "optim.lr", "0.1")),
        ("+optim.lr=", ("+", "optim.lr", "")),
        ("++a=b=c", ("++", "a", "b=c")),
        ("~experiment", ("~", "experiment", None)),
        ("data.path='a=b'", ("", "data.path", "'a=b'")),
        ("mlp", ("", "mlp", None)),
    ],
)
def test_a_line_has_a_prefix_a_key_and_a_value(line, expected):
    assert parse_line(line) == expected
    assert line == "".join([*expected[:2], *(["=", expected[2]] if expected[2] is not None else [])])


def test_a_deletion_keeps_its_prefix():
    assert [bare(line) for line in ("++a=1", "+a=1", "a=1", "~a")] == ["a=1", "a=1", "a=1", "~a"]


def test_newer_lines_replace_older_ones():
    assert merged(["+a=1", "b=2", "a.b=3"], ["++a=4", "c=5"]) == ["b=2", "a.b=3", "++a=4", "c=5"]
    assert without(["+a=1", "b=2", "a.b=3", "~c"], "a", "c") == ["b=2", "a.b=3"]


def test_lines_as_a_mapping():
    assert key_values(["+a=1", "b", "c=d=e"]) == {"a": "1", "c": "d=e"}
    assert axis_values([["a=1", "a=2"], ["++b=3"], ["~c"]]) == {"a": ["1", "2"], "b": ["3"]}
    assert (key_of("~a"), value_of("~a")) == ("a", "")


def test_one_place_splits_an_override():
    ways = ('split("="', 'partition("="', "split('='", 'lstrip("+', '"=" in', '"=" not in')
    code = {file: file.read_text() for file in Path(trainer.__file__).parent.rglob("*.py")}
    assert {file.name for file, text in code.items() if any(way in text for way in ways)} == {"keys.py"}
    assert sum(text.count('tition("="') for text in code.values()) == 1
