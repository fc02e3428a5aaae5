"""`evaluation.comparison` against SciPy and hand arithmetic."""

import csv

import numpy as np
import pytest
from scipy import stats

from resnet_tf.errors import UserError
from resnet_tf.evaluation import comparison


def table(keys, labels, top1):
    return {"key": list(keys), "label": list(labels), "top1": list(top1)}


A = table("abcdef", "xxyyzz", "xyyxzx")  # right: a, c, e
B = table("fedcba", "zzyyxx", "zxyyxx")  # right: a, b, c, d, f


def test_counts_by_hand():
    found = comparison.compare(A, B)
    assert (found.examples, found.correct, found.fixed, found.broken) == (6, (3, 5), 3, 1)
    assert found.difference == pytest.approx(2 / 6)
    assert found.changes == [
        comparison.Change("b", "x", "y", "x", True),
        comparison.Change("d", "y", "x", "y", True),
        comparison.Change("e", "z", "z", "x", False),
        comparison.Change("f", "z", "x", "z", True),
    ]
    assert found.by_class() == [("x", 1, 0), ("y", 1, 0), ("z", 1, 1)]
    event = found.to_json()
    assert event["top1"] == [0.5, 0.833333] and event["correct_top1"] == [3, 5]
    assert event["classes"][2] == {"class": "z", "fixed": 1, "broken": 1}
    assert event["p_value"] == pytest.approx(0.625)  # 2 · (1 + 4) / 16


def of(fixed, broken, same=10):
    words = ["B"] * fixed + ["A"] * broken + ["both"] * same
    keys = range(len(words))
    a = table(keys, ["r"] * len(words), ["r" if w in ("A", "both") else "w" for w in words])
    b = table(keys, ["r"] * len(words), ["r" if w in ("B", "both") else "w" for w in words])
    return comparison.compare(a, b)


@pytest.mark.parametrize("fixed, broken", [(0, 0), (1, 0), (0, 3), (5, 5), (12, 3), (300, 250),
                                           (2000, 3000), (100_000, 100_500)])  # fmt: skip
def test_mcnemar_equals_scipys_binomial_test(fixed, broken):
    found = of(fixed, broken)
    theirs = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert found.p_value() == pytest.approx(theirs, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("fixed, broken, same", [(0, 0, 5), (12, 3, 100), (3, 12, 0), (40, 40, 9)])
def test_interval_by_its_formula(fixed, broken, same):
    low, high = of(fixed, broken, same).interval()
    cells = np.array([fixed + 0.5, broken + 0.5])
    number = fixed + broken + same + 2
    d = (cells[0] - cells[1]) / number
    reach = 1.959964 * np.sqrt(cells.sum() / number - d * d) / np.sqrt(number)
    assert (low, high) == pytest.approx((d - reach, d + reach), rel=1e-5)


def test_interval_ends_where_differences_do():
    assert of(2, 0, 0).interval()[1] == 1 and of(0, 2, 0).interval()[0] == -1


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (table("abcde", "xxyyz", "xxxxx"), "1 records are in one of them only, such as 'f'"),
        (table("abcdeg", "xxyyzz", "xxxxxx"), "2 records are in one of them only, such as 'f'"),
        (table("abcdef", "xxyyzy", "xxxxxx"), "record 'f' is 'z' in A and 'y' in B"),
        (table("abcdee", "xxyyzz", "xxxxxx"), "B has more than one record called 'e'"),
        (table("", "", ""), "B has no records"),
    ],
)
def test_what_cannot_be_compared(b, message):
    with pytest.raises(UserError) as caught:
        comparison.compare(A, b)
    assert caught.value.code == 78 and message in str(caught.value)


ROWS = """step,loss,gradient_norm,learning_rate,order,pictures
1,2.5,1.5,0.1,11,21
2,2.4,1.4,0.1,12,22
3,2.3,1.3,0.1,13,23
"""


def rows(text):
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("2,2.4,1.4,0.1,12,22", None),
        ("2,2.41,1.41,0.2,99,98", {"step": 2, "cause": "order", "a": "12", "b": "99"}),
        ("2,2.41,1.41,0.2,12,98", {"step": 2, "cause": "augmentation", "a": "22", "b": "98"}),
        ("2,2.41,1.41,0.2,12,22", {"step": 2, "cause": "rate", "a": "0.1", "b": "0.2"}),
        ("2,2.41,1.41,0.1,12,22", {"step": 2, "cause": "forward", "a": "2.4", "b": "2.41"}),
        ("2,2.4,1.41,0.1,12,22", {"step": 2, "cause": "backward", "a": "1.4", "b": "1.41"}),
    ],
)
def test_first_step_that_differs(row, expected):
    other = ROWS.replace("2,2.4,1.4,0.1,12,22", row)
    assert comparison.first_difference(rows(ROWS), rows(other)) == expected
    # A step that one of them lacks says nothing.
    shorter = "\n".join(line for line in other.splitlines() if not line.startswith("1,"))
    assert comparison.first_difference(rows(ROWS), rows(shorter)) == expected


def test_runs_on_other_data_part_at_their_first_common_step():
    expected = {"step": 1, "cause": "data", "a": "f1", "b": "f2"}
    assert comparison.first_difference(rows(ROWS), rows(ROWS), ("f1", "f2")) == expected
    assert comparison.first_difference(rows(ROWS), rows(ROWS), ("f1", "f1")) is None
    assert comparison.first_difference(rows(ROWS), [], ("f1", "f2")) is None
