import gzip
import json
import re
import subprocess
import time
import unicodedata

import pytest
import torch

from trainer.data import text
from trainer.data._text_columns import likely_texts
from trainer.data._texts import holds_table, open_texts
from trainer.data._vocabulary import PADDING, UNKNOWN, Vocabulary, cut, unit_for
from trainer.errors import DataError

ROWS = [(f"{'ab' * (1 + i % 4)}", "even" if i % 2 else "odd") for i in range(40)]


def write(folder, rows, name="texts.csv"):
    path = folder / name
    content = "".join(f"{a},{b}\n" for a, b in rows).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def test_tokens_are_numbers_filled_up_with_padding():
    vocabulary = Vocabulary(("a", "b"), "characters", 4)
    assert vocabulary.encode(["ab", "b?ab", "abbaab", " a "]).tolist() == [
        [2, 3, PADDING, PADDING],
        [3, UNKNOWN, 2, 3],
        [2, 3, 3, 2],
        [2, 0, 0, 0],
    ]
    words = Vocabulary(("hello", "world", "!"), "words", 5)
    assert words.encode(["Hello, WORLD!"]).tolist() == [[2, UNKNOWN, 3, 4, PADDING]]


def test_composed_and_combined_characters_are_equal():
    composed, combined = "é", "e\u0301"
    assert text.cut(composed, "characters") == text.cut(combined, "characters") == [composed]


def test_names_match_known_facts(real_data):
    splits, spec = text.names(root=str(real_data))
    assert len(splits.train.targets) + len(splits.val.targets) == 13_374
    assert len(splits.test.targets) == 6_700
    assert (spec.task, spec.out_features, spec.in_shape, spec.kind) == ("multiclass", 18, (19,), "tokens")
    assert spec.class_names[torch.bincount(splits.train.targets).argmax()] == "Russian"
    lengths = (splits.train.inputs != PADDING).sum(1)
    assert (lengths.min(), lengths.max()) == (2, 19)
    assert splits.train.inputs.max() == spec.vocab_size - 1


def test_the_vocabulary_comes_from_the_training_split_only(tmp_path):
    rows = [(f"{chr(ord('a') + i % 5)}{chr(0x4E00 + i)}", "xy"[i % 2]) for i in range(100)]
    splits, spec = text.text(path=write(tmp_path, rows))
    assert spec.vocab_size == 5 + 2  # each of the other characters occurs once
    assert (splits.test.inputs == UNKNOWN).any()
    assert (splits.train.inputs == UNKNOWN).any(), "otherwise nothing is learned about unknown tokens"


def test_two_labels_are_binary(tmp_path):
    splits, spec = text.text(path=write(tmp_path, ROWS))
    assert (spec.task, spec.out_features, spec.class_names) == ("binary", 1, ("even", "odd"))
    assert splits.train.targets.shape == (28, 1)
    assert splits.train.targets.dtype == torch.float32


def test_a_test_file_is_the_test_split(tmp_path):
    path, test_path = write(tmp_path, ROWS), write(tmp_path, ROWS[:6], "more.csv.gz")
    splits, _ = text.text(path=path, test_path=test_path)
    assert [len(part.targets) for part in (splits.train, splits.val, splits.test)] == [36, 4, 6]
    assert splits.test.targets.flatten().tolist() == [1, 0, 1, 0, 1, 0]


def test_a_long_text_is_cut_with_a_note(tmp_path):
    splits, spec = text.text(path=write(tmp_path, [*ROWS, ("ab" * 50_000, "even")]), max_length=10)
    assert splits.train.inputs.shape[1] == 10
    assert any("longer and cut: 1 texts" in note for note in spec.notes)


def test_lines_without_text_can_be_dropped(tmp_path):
    path = write(tmp_path, [*ROWS, ("", "odd"), ("  ", "odd"), ("abab", "")])
    with pytest.raises(DataError, match=r"texts.csv: line 41: an empty text; data.missing=drop"):
        text.text(path=path)
    splits, spec = text.text(path=path, missing="drop")
    assert sum(len(part.targets) for part in (splits.train, splits.val, splits.test)) == 40
    assert spec.notes[0] == "left out: 3 lines of texts.csv without text or label"


def test_dropping_half_of_many_lines_is_quick(tmp_path):
    path = write(tmp_path, [(f"text {n}", "" if n % 2 else "ab"[n // 2 % 2]) for n in range(20_000)])
    start = time.process_time()
    splits, _ = text.text(path=path, missing="drop")
    assert len(splits.train.targets) == 7000
    assert time.process_time() - start < 5


def test_a_label_with_few_texts_gets_a_note(tmp_path):
    _, spec = text.text(path=write(tmp_path, [*ROWS, ("abab", "evn")]))
    assert "classes with few texts: evn (1; a typo of even?)" in spec.notes


def test_a_header_is_skipped_or_suspected(tmp_path):
    path = write(tmp_path, [("text", "label"), *ROWS])
    _, spec = text.text(path=path, header=True)
    assert spec.class_names == ("even", "odd")
    _, spec = text.text(path=path)
    assert spec.class_names == ("even", "odd")
    assert "columns: text 'text' and label 'label' of 2; line 1 names the columns" in spec.notes
    _, spec = text.text(path=path, header=False)
    assert spec.class_names == ("even", "label", "odd")
    _, spec = text.text(path=write(tmp_path, [("a first text of all", "unique"), *ROWS]))
    assert any("only line 1 has the label 'unique'" in note for note in spec.notes)


def test_quotes_commas_and_line_ends_in_a_text_are_read(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text("".join(f'"a, ""b""\nc{i % 3}",{"xy"[i % 2]}\n' for i in range(40)) + '"",x\n')
    with pytest.raises(DataError, match="line 81: an empty text"):
        text.text(path=str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no lines with a text"),
        (b"\n\n", "no lines with a text"),
        (b"abc,x\n" * 20, "the only label is 'x'"),
        (b"abc,x\nd,e,f\n", "line 2 has 3 fields, expected 2"),
        (b"abc,x\nabc\n", "line 2 has 1 field, expected 2"),
        (b'abc,x\n"abc,y\nab,x\n', "starts in line 2 cannot be read"),
        (b"abc,x\nab\xffc,y\n", r"byte 0xff in line 2.*data.encoding="),
        (b"abc,x\nab\0c,y\n", "NUL"),
    ],
)
def test_lines_without_text_and_label_are_refused_with_their_number(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refusal:
        text.text(path=str(path))
    assert "bad.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_truncated_gzip_file_is_refused(tmp_path):
    path = tmp_path / "texts.csv.gz"
    packed = gzip.compress("".join(f"{i}{a},{b}\n" for i, (a, b) in enumerate(ROWS * 50)).encode())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="ends early"):
        text.text(path=str(path))


def test_an_unknown_label_in_the_test_file_is_refused(real_data):
    train = real_data / "names" / "names_train.csv.gz"
    with pytest.raises(DataError, match=r"unknown_label_test.csv: line 21: .* has no label 'Klingon'"):
        text.text(path=str(train), test_path=str(real_data / "bad" / "names_unknown_label_test.csv"))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("names_empty_name", "line 21: an empty text"),
        ("names_extra_column", "line 21 has 3 fields, expected 2"),
    ],
)
def test_broken_names_are_refused(real_data, case, message):
    with pytest.raises(DataError, match=message):
        text.text(path=str(real_data / "bad" / f"{case}.csv"))


@pytest.mark.parametrize("case", ["names_unicode", "names_very_long"])
def test_strange_names_are_read(real_data, case):
    splits, spec = text.text(path=str(real_data / "bad" / f"{case}.csv"))
    assert splits.train.inputs.shape[1] <= 64
    assert splits.test.inputs.max() < spec.vocab_size


@pytest.mark.parametrize("options", [{"tokens": "bytes"}, {"max_length": 0}, {"missing": "mean"}])
def test_invalid_options_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="expected"):
        text.text(path=write(tmp_path, ROWS), **options)


def test_missing_names_say_which_file_to_put_where(tmp_path):
    with pytest.raises(
        DataError, match=r"names_train.csv.gz: no such file; expected lines of name,country; data.root="
    ):
        text.names(root=str(tmp_path))


def test_a_text_without_words_counts_as_empty(tmp_path):
    rows = [("hello world", "x"), ("you", "y")] * 20
    path = write(tmp_path, [*rows, ("   ", "x")])
    with pytest.raises(DataError, match="line 41"):
        text.text(path=path, tokens="words")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "id,title,review,rating,sentiment\n" + "7,x,what a lovely film,5,good\n" * 3, True),
        ("a.csv", ",text,label\n" + "0,what a lovely film,good\n" * 3, True),  # as pandas writes it
        ("a.csv", "v1,v2,,,\n" + "ham,what a lovely film,,,\n" * 3, True),
        ("a.csv", "text,label\n" + "这部电影很好看,好\n" * 3, True),
        ("a.csv", "text;label\n" + "what a lovely film, really;good\n" * 3, True),
        (
            "a.tsv",
            "qid\tquestion\ttarget\n" + "1\twhat a lovely film\t0\n2\tis it as dull as that\t1\n3\twhat a dull film\t1",
            False,
        ),
        ("a.csv", "name,class,age,fare,deck\n" + "Mr. Owen Braund,3,22.125,7.25123,C85\n" * 3, None),
        ("a.csv", "town,people\n" + "New York,2\n" * 3, None),
        ("a.csv", "text,label\n" + "a lovely, lovely film,good\n" * 3, None),
    ],
)
def test_a_table_holds_texts_if_they_are_half_of_it(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    is_sure, settings = likely_texts(str(tmp_path / name))
    assert is_sure == (expected or False)
    assert bool(settings) == (expected is not None)
    assert expected is not False or settings == "data.text=question data.label=target"


def test_columns_without_a_name_leave_the_others_theirs(tmp_path):
    (tmp_path / "a.csv").write_text(",text,label\n" + "0,what a film,good\n1,how dull,bad\n" * 10)
    splits, spec = text.text(path=str(tmp_path / "a.csv"), text="2", label="3")
    assert spec.class_names == ("bad", "good")
    assert len(splits.train.inputs) + len(splits.val.inputs) + len(splits.test.inputs) == 20


def test_objects_in_objects_have_names_with_dots(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "data": {"text": "ab", "by": {"age": 4}}, "label": true}\n{"id": 2}')
    table = open_texts(str(tmp_path / "a.jsonl"))
    assert table.names == ("id", "data.text", "data.by.age", "label")
    assert [row.cells for row in table.rows] == [["1", "ab", "4", "true"], ["2", "", "", ""]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("review;stars\nso good;1\n", True),
        ("id,stars,review\n7,1,so good\n", True),
        ("review\nso good\n", True),
        ("so good\t1\nbad\t0\n", True),
        ('{"review": "so good", "stars": 1}\n', True),
        ('{"x": "so good"}\n{"x": "bad"}\n', False),
        ("so, good\nso, bad\n", False),
        ("a review, four stars\nanother, five stars\n", False),
        ("so\tgood\n", False),
        ("so\tgood\nbad\n", False),
        ("so good\n\nbad\n", False),
        ("", False),
    ],
)
def test_a_file_of_any_name_may_hold_a_table(tmp_path, content, expected):
    (tmp_path / "standard input").write_text(content)
    assert holds_table(str(tmp_path / "standard input"), "review", "stars") is expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("बिल्कुल बेकार फिल्म", ["बिल्कुल", "बेकार", "फिल्म"]),  # spaces are between words, and marks within them
        ("ọ̀rọ̀ dáadáa", ["ọ̀rọ̀", "dáadáa"]),
        ("هذا جيد", ["هذا", "جيد"]),
        ("don't stop!", ["don", "'", "t", "stop", "!"]),
        ("很好 ok", ["很", "好", "ok"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),  # a vowel sign above its consonant is a mark, one beside it is not
    ],
)
def test_words_have_their_marks_and_scripts_without_spaces_are_cut_into_characters(line, words):
    unit, notes = unit_for([line], "words")
    found = cut(line, unit)
    assert found == [unicodedata.normalize("NFC", word) for word in words]
    assert (unit == "words") == (line in ("هذا جيد", "don't stop!"))  # old runs know no others
    assert bool(notes) == any(name in " ".join(notes) for name in ("Thai", "Chinese")) == (line[0] in "很ด")
    how = Vocabulary((), unit, 9).tokenizer
    assert re.findall(how["token"], unicodedata.normalize("NFC", line.strip()).lower()) == found


@pytest.mark.parametrize(
    ("name", "content", "options", "labels", "columns"),
    [
        ("a.tsv", "sentence\tlabel\n" + "what a joy\t1\nawful\t0\n" * 20, {}, ("0", "1"), ("sentence", "label")),
        ("a.csv", "id;stars;review\n" + "7;007;fine\n8;010;awful mess\n" * 20, {}, None, None),
        (
            "a.csv",
            "id;stars;review\n" + "7;007;fine\n8;010;awful mess\n" * 20,
            {"text": "review", "label": "stars"},
            ("007", "010"),
            ("review", "stars"),
        ),
        ("a.csv", "TRUE,fine film\nFALSE,awful mess\nTRUE,good fun\n" * 20, {}, ("FALSE", "TRUE"), ("2", "1")),
        (
            "a.jsonl",
            '{"text": "a \\u2028 b", "label": 1.10}\n{"text": "c", "label": true}\n' * 20,
            {},
            ("1.10", "true"),
            ("text", "label"),
        ),
        ("a.csv", "".join(f"text {n},label {n}\n" for n in range(60)), {}, None, None),
    ],
)
def test_columns_are_found_or_named_and_labels_stay_as_they_are_written(
    tmp_path, name, content, options, labels, columns
):
    (tmp_path / name).write_text(content, encoding="utf-8")
    if labels is None:
        with pytest.raises(DataError, match=r"data\.text=.*data\.label="):
            text.text(path=str(tmp_path / name), **options)
        return
    _, spec = text.text(path=str(tmp_path / name), **options)
    assert spec.class_names == labels
    assert (spec.encoder.text, spec.encoder.label) == columns


def test_tokens_that_training_does_not_know_are_counted_or_refused(tmp_path):
    path, test_path = write(tmp_path, ROWS), write(tmp_path, [("abz", "odd"), ("ab", "even")], "more.csv")
    _, spec = text.text(path=path, test_path=test_path)
    assert "more.csv: 1 of 5 characters are unknown in training: 'z'" in spec.notes
    with pytest.raises(DataError, match="1 of 5 characters are unknown in training: 'z'; unknown=note"):
        text.text(path=path, test_path=test_path, unknown="error")


FORMS = {  # name of a file -> its content, of texts and labels
    "plain.txt": lambda rows: "".join(f"__label__{label} {text}\n" for text, label in rows),
    "tab.txt": lambda rows: "".join(f"__label__{label}\t{text}\n\n" for text, label in rows),
    "comma.txt": lambda rows: "".join(f"__label__{label} , {text}\n" for text, label in rows),
    "behind.train": lambda rows: "".join(f"{text} __label__{label}\n" for text, label in rows),
    "data.json": lambda rows: json.dumps({"data": [{"text": text, "label": label} for text, label in rows]}),
    "rows.json": lambda rows: json.dumps(
        {"rows": [{"row_idx": 0, "row": {"text": text, "label": label}} for text, label in rows], "n": 3}, indent=2
    ),
    "columns.json": lambda rows: json.dumps({"text": [row[0] for row in rows], "label": [row[1] for row in rows]}),
    "single.csv": lambda rows: "'text','label'\n" + "".join(f"'{text}','{label}'\n" for text, label in rows),
}


@pytest.mark.parametrize("name", FORMS)
def test_texts_are_the_same_in_every_form(tmp_path, name):
    rows = [(f"{'good, great' if i % 2 else 'bad; sad'} film {i % 7}", "pos" if i % 2 else "neg") for i in range(40)]
    (tmp_path / name).write_text(FORMS[name](rows))
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    splits, spec = text.text(path=str(tmp_path / name), test_path=str(tmp_path / name))
    expected, its_spec = text.text(path=str(tmp_path / "texts.csv"), test_path=str(tmp_path / "texts.csv"))
    assert spec.class_names == its_spec.class_names == ("neg", "pos")
    for part in ("train", "test"):
        assert torch.equal(getattr(splits, part).inputs, getattr(expected, part).inputs)
        assert torch.equal(getattr(splits, part).targets, getattr(expected, part).targets)
    assert any("labels follow __label__" in note for note in spec.notes) == (
        "." in name and name[-3:] in ("txt", "ain")
    )


def test_lines_with_other_than_one_label_are_refused_with_a_command_that_works(tmp_path):
    path = tmp_path / "my texts.txt"
    path.write_text("__label__a __label__b first one\n__label__c second one\n" * 10)
    with pytest.raises(DataError, match="line 1: another label, 'b'; expected one per text; sed -E") as refusal:
        text.text(path=str(path))
    command = str(refusal.value).rpartition("per text; ")[2].removesuffix(" keeps the first of each line")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    _, spec = text.text(path=str(tmp_path / "my texts-one-label.txt"))
    assert spec.class_names == ("a", "c")
    path.write_text("__label__a one\n" * 60 + "no label\n")
    with pytest.raises(DataError, match="line 61: no __label__ in 'no label'"):
        text.text(path=str(path))


def test_a_file_of_labelled_lines_is_predicted_for_without_its_labels(dltrain, tmp_path):
    (tmp_path / "reviews.train").write_text(FORMS["plain.txt"]([(f"text {i % 5}", "ab"[i % 2]) for i in range(40)]))
    assert dltrain("reviews.train", "model=gru", "epochs=1", "hydra.run.dir=run").code == 0
    (tmp_path / "new.txt").write_text("__label__a text 1\n__label__b text 2\n")
    out = dltrain("predict", "run=run", "input=new.txt").out
    assert [line.split("  ")[0] for line in out.splitlines()] == ["text 1", "text 2"]
