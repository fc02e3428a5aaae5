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
        ("a.csv", "", 65, "this is no file of predictions: "),
        ("a.csv", "key,label\n", 65, "it has no column loss"),
        ("a.csv", "key,label,loss,top1,score1\na,b,1,c\n", 65, "its rows differ in length"),
        ("a.csv", "key,label,loss,top1,score1\na,b,x,c,1\n", 65, "could not convert"),
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


def test_an_empty_table(tmp_path):
    (tmp_path / "a.csv").write_text("key,label,loss,top1,score1\n")
    assert prediction_files.read(tmp_path / "a.csv")["key"] == []
