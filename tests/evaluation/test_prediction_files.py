"""Tables of predictions: what is written comes back, and readers of other programs can read it."""

import csv

import numpy as np
import pyarrow.parquet
import pytest

from resnet_tf.errors import UserError
from resnet_tf.evaluation import prediction_files
from resnet_tf.evaluation.predictions import Predictions

NAMES = ("cat, tabby", 'the "dog"', "bird")
KEYS = ["a/1.jpg", "b,2.jpg", "\udcff.jpg"]
ROWS = Predictions(
    labels=np.array([0, 2, 1]),
    ranks=np.array([0, 1, 2], np.int32),
    losses=np.array([0.25, 1.5, np.inf], np.float32),
    top=np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]], np.int32),
    scores=np.array([[0.5, 0.25, 0.25], [0.75, 0.25, 0], [1, 0, 0]], np.float32),
)
EXPECTED = {
    "key": ["a/1.jpg", "b,2.jpg", "�.jpg"],
    "label": ["cat, tabby", "bird", 'the "dog"'],
    "loss": [0.25, 1.5, np.inf],
    "top1": ["cat, tabby", 'the "dog"', "bird"],
    "top2": ['the "dog"', "bird", "cat, tabby"],
    "top3": ["bird", "cat, tabby", 'the "dog"'],
    "score1": [0.5, 0.75, 1],
    "score2": [0.25, 0.25, 0],
    "score3": [0.25, 0, 0],
}


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows"])
def test_what_is_written_comes_back(tmp_path, name):
    path = tmp_path / name
    path.write_text("an older one")
    prediction_files.write(path, ROWS, KEYS, NAMES)
    assert prediction_files.read(path) == EXPECTED
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_others_can_read_it(tmp_path):
    prediction_files.write(tmp_path / "a.csv", ROWS, KEYS, NAMES)
    prediction_files.write(tmp_path / "a.parquet", ROWS, KEYS, NAMES)
    with open(tmp_path / "a.csv", newline="") as file:
        first = next(iter(csv.DictReader(file)))
    assert first["label"] == "cat, tabby" and first["score1"] == "0.5"
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pydict() == EXPECTED


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_place_that_cannot_be_written(tmp_path, name):
    with pytest.raises(UserError) as caught:
        prediction_files.write(tmp_path / "none" / name, ROWS, KEYS, NAMES)
    assert caught.value.code == 73 and "cannot be written: No such file" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "code", "message"),
    [
        ("none.csv", None, 66, "cannot be read: No such file"),
        ("a.csv", "", 65, "this is no file of predictions: it is empty"),
        ("a.csv", b"\xef\xbb\xbf", 65, "this is no file of predictions: it is empty"),
        ("a.parquet", "", 65, "this is no file of predictions: it is empty"),
        ("a.csv", "key,label\n", 65, "it has no column loss"),
        ("a.csv", "key,label,loss,top1,score1\na,b,1,c\n", 65, "its rows differ in length"),
        ("a.csv", "key,label,loss,top1,score1\na,b,x,c,1\n", 65, "loss has no number in 'x'"),
        ("a.csv", b"\xff\xfe", 65, "can't decode"),
        ("a.parquet", "not parquet", 65, "this is no file of predictions"),
    ],
)
def test_files_that_are_no_predictions(tmp_path, name, text, code, message):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        prediction_files.read(path)
    assert caught.value.code == code and message in str(caught.value)


def with_column(path, **told):
    """A sound table of two rows in which columns are other ones."""
    sound = {"key": ["a", "b"], "label": ["cat", "dog"], "loss": [0.5, 1], "top1": ["cat", "cat"],
             "score1": [0.5, 0.75]}  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(sound | told), path)
    return path


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"label": ["cat", None]}, "column label has no text in None"),
        ({"key": [b"a", b"b"]}, "column key has no text in b'a'"),
        ({"top1": [["cat"], []]}, "column top1 has no text in ['cat']"),
        ({"label": [0.5, 1.5]}, "column label has no text in 0.5"),
        ({"label": [True, False]}, "column label has no text in True"),
        ({"loss": [0.5, None]}, "column loss has no number in None"),
        ({"score1": [[0.5], [0.75]]}, "column score1 has no number in [0.5]"),
        ({"loss": ["low", "high"]}, "column loss has no number in 'low'"),
    ],
)
def test_columns_of_another_type(tmp_path, told, message):
    with pytest.raises(UserError) as caught:
        prediction_files.read(with_column(tmp_path / "a.parquet", **told))
    assert caught.value.code == 65 and message in str(caught.value)


def test_what_other_programs_make_of_a_table(tmp_path):
    """Numbers for classes that are called so, columns of their own, a mark before the text."""
    made = with_column(
        tmp_path / "a.parquet", label=[0, 12], score1=[1, 0], note=[[1], None], scored=["a", "b"]
    )
    table = prediction_files.read(made)
    assert table["label"] == ["0", "12"] and table["score1"] == [1.0, 0.0]
    assert list(table) == ["key", "label", "loss", "top1", "score1"]
    prediction_files.write(tmp_path / "a.csv", ROWS, KEYS, NAMES)
    marked = "\ufeff" + (tmp_path / "a.csv").read_text(encoding="utf-8")
    (tmp_path / "a.csv").write_text(marked, encoding="utf-8")
    assert prediction_files.read(tmp_path / "a.csv") == EXPECTED


def test_a_damaged_parquet_file(tmp_path):
    path = with_column(tmp_path / "a.parquet")
    whole = path.read_bytes()
    codes = set()
    for place in range(4, len(whole) - 8, 11):
        path.write_bytes(whole[:place] + b"\xff\xff\xff" + whole[place + 3 :])
        try:
            prediction_files.read(path)
        except UserError as error:
            codes.add(error.code)
    assert codes == {65}


def test_an_empty_table(tmp_path):
    (tmp_path / "a.csv").write_text("key,label,loss,top1,score1\n")
    assert prediction_files.read(tmp_path / "a.csv")["key"] == []
