"""`Summary`: the figures and tables of a few rows, by hand, and what people read of them."""

import csv
import io

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.evaluation import Predictions, Summary, describe, refuse_place, write_table

NAMES = ("cat", "dog, big", "bird")
ROWS = Predictions(
    labels=np.array([0, 0, 1, 2]),
    ranks=np.array([0, 1, 0, 2], np.int32),
    losses=np.array([0.5, 1.5, 0.25, 2.0], np.float32),
    top=np.array([[0, 1, 2], [1, 0, 2], [1, 2, 0], [0, 1, 2]], np.int32),
    scores=np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.9, 0.1, 0], [0.8, 0.1, 0.1]], np.float32),
)


def test_figures_by_hand():
    event = Summary.of(ROWS, NAMES).to_json()
    assert (event["examples"], event["correct_top1"], event["correct_top5"]) == (4, 2, 4)
    assert (event["top1"], event["loss"]) == (0.5, 1.0625)
    assert event["macro"] == {"precision": 0.333333, "recall": 0.5, "f1": 0.388889}
    assert event["weighted"] == {"precision": 0.375, "recall": 0.5, "f1": 0.416667}
    assert event["most_confused"] == [
        {"label": "cat", "predicted": "dog, big", "count": 1},
        {"label": "bird", "predicted": "cat", "count": 1},
    ]
    # |0.6 - 1|, |0.5 - 0|, |0.9 - 1| and |0.8 - 0|, each in a bin of its own
    assert event["calibration_error"] == pytest.approx((0.4 + 0.5 + 0.1 + 0.8) / 4, abs=1e-6)


def test_tables_by_hand():
    found = Summary.of(ROWS, NAMES)
    rows = list(csv.reader(io.StringIO(found.confusion_csv())))
    assert rows == [
        ["true \\ predicted", *NAMES],
        ["cat", "1", "1", "0"], ["dog, big", "0", "1", "0"], ["bird", "1", "0", "0"],
    ]  # fmt: skip
    rows = list(csv.reader(io.StringIO(found.classes_csv())))
    assert rows[1:] == [
        ["cat", "2", "1", "2", "0.500000", "0.500000", "0.500000"],
        ["dog, big", "1", "1", "2", "0.500000", "1.000000", "0.666667"],
        ["bird", "1", "0", "0", "0.000000", "0.000000", "0.000000"],
    ]


def test_scores_that_are_no_numbers_are_no_confidence():
    broken = Predictions(
        labels=np.array([0, 1]),
        ranks=np.full(2, 2**31 - 1, np.int32),
        losses=np.full(2, np.nan, np.float32),
        top=np.array([[0, 1], [0, 1]], np.int32),
        scores=np.full((2, 2), np.nan, np.float32),
    )
    event = Summary.of(broken, ("a", "b")).to_json()
    assert (event["correct_top1"], event["correct_top5"], event["loss"]) == (0, 0, None)
    assert event["calibration_error"] == 0
    told = {"split": "test", "step": 3, "weights": "raw"} | event
    assert any("loss not finite" in line for line in describe(told))


def test_lines_for_people():
    event = {"split": "test", "step": 3, "weights": "average"} | Summary.of(ROWS, NAMES).to_json()
    lines = list(describe(event))
    assert lines[0] == "test: 4 records, each seen once, by step 3 with its average weights"
    assert lines[1].startswith("top-1 50.00% (95 % interval 15.00% to 85.00%), top-5 100.00%")
    assert lines[-1] == "most confused: cat taken for dog, big 1×, bird taken for cat 1×"
    more = event | {
        "fitted_temperature": {
            "temperature": 2.0,
            "loss_before": 1.0,
            "loss_after": 0.5,
            "fitted_on": "test",
            "evaluated_by_default": False,
        },
        "alternative": {"examples": 0, "correct_top1": 0, "top1": None},
    }
    lines = list(describe(more))
    assert "temperature 2: loss 1.0000 before, 0.5000 after, fitted on test" in lines
    assert not any("WARNING" in line for line in lines)
    assert "by the other labels: none of 0 records" in lines


@pytest.mark.parametrize(
    ("told", "warned"),
    [
        ({"temperature": 2.0, "fitted_on": "train"}, False),
        ({"temperature": 2.0, "fitted_on": None}, False),
        ({"temperature": 2.0, "fitted_on": "test"}, True),
        ({"fitted_temperature": {"temperature": 2.0, "loss_before": 1.0, "loss_after": 0.5,
                                 "fitted_on": "test", "evaluated_by_default": True}}, True),
    ],
)  # fmt: skip
def test_a_temperature_of_the_split_that_is_evaluated(told, warned):
    event = {"split": "test", "step": 3, "weights": "raw"} | Summary.of(ROWS, NAMES).to_json()
    lines = [line for line in describe(event | told) if "temperature" in line]
    assert lines[0].startswith("temperature 2") and "fitted on " in lines[0]
    assert [line.startswith("WARNING: ") and "on test, which" in line for line in lines[1:]] == [
        True
    ] * warned


def test_names_do_nothing_to_a_terminal():
    event = {"split": "te\x1b[2Jst", "step": 3, "weights": "raw"}
    event |= Summary.of(ROWS, ("cat\x1b[31m", "two\nlines", "bird")).to_json()
    lines = list(describe(event))
    assert lines[0].startswith("te\\x1b[2Jst: ")
    assert "cat\\x1b[31m taken for two\\nlines 1×" in lines[-1]
    assert all(line.isprintable() for line in lines)


def test_places_for_files(tmp_path):
    refuse_place(tmp_path / "a.csv")
    write_table(tmp_path / "a.csv", "x\n")
    assert (tmp_path / "a.csv").read_text() == "x\n"
    for path in (tmp_path, tmp_path / "none/a.csv"):
        with pytest.raises(UserError, match="ERROR 73: no file can be written here"):
            refuse_place(path)
        with pytest.raises(UserError, match="ERROR 73: cannot be written: "):
            write_table(path, "x\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]  # nothing half made
    assert not list(tmp_path.parent.glob(f"{tmp_path.name}.*"))
