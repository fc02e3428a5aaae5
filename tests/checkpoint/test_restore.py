"""Restoring: every variable or none, and a table that explains."""

import numpy as np
import pytest

from resnet_tf.checkpoint import restore, write
from resnet_tf.errors import UserError

import tensorflow as tf  # isort: skip

SAVED = {
    "net/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/bias": np.array([7, 8, 9], np.float32),
    "optimizer/step": np.array(12, np.int64),
}


@pytest.fixture
def saved(tmp_path):
    return write(tmp_path, 12, SAVED, {})


def variables(**changes):
    values = {name: np.zeros_like(array) for name, array in SAVED.items()} | changes
    return {name: tf.Variable(value) for name, value in values.items() if value is not None}


def test_every_variable_is_assigned(saved):
    wanted = variables()
    restore(saved, wanted)
    for name, array in SAVED.items():
        np.testing.assert_array_equal(wanted[name].numpy(), array)


def test_mirrored_variables_are_assigned_on_every_replica(saved, two_replicas):
    with two_replicas.scope():
        wanted = variables()
    restore(saved, wanted)
    for name, array in SAVED.items():
        for replica in two_replicas.experimental_local_results(wanted[name]):
            np.testing.assert_array_equal(replica.numpy(), array)


def test_prefix_takes_a_part(saved):
    wanted = {name: v for name, v in variables().items() if name.startswith("net/")}
    restore(saved, wanted, prefix="net/")
    np.testing.assert_array_equal(wanted["net/kernel"].numpy(), SAVED["net/kernel"])
    np.testing.assert_array_equal(wanted["net/bias"].numpy(), SAVED["net/bias"])


def refused(saved, wanted, count, total, rows, **options):
    before = {name: v.numpy() for name, v in wanted.items()}
    with pytest.raises(UserError) as caught:
        restore(saved, wanted, **options)
    error = caught.value
    assert error.code == 78
    assert f"{count} of {total} variables differ from the checkpoint" in str(error)
    assert str(saved.path) in str(error)
    assert "--model" in str(error)
    header, *body = [line.split("  ") for line in error.details.splitlines()]
    assert [cell.strip() for cell in header if cell] == [
        "variable",
        "in the checkpoint",
        "in the model",
    ]
    assert [[cell.strip() for cell in line if cell] for line in body] == rows
    for name, variable in wanted.items():  # nothing was assigned
        np.testing.assert_array_equal(variable.numpy(), before[name])


def test_other_shape(saved):
    """# fault S1"""
    wanted = variables(**{"net/kernel": np.zeros((3, 2), np.float32)})
    refused(saved, wanted, 1, 3, [["net/kernel", "[2, 3] float32", "[3, 2] float32"]])


def test_other_dtype(saved):
    wanted = variables(**{"net/bias": np.zeros(3, np.float64)})
    refused(saved, wanted, 1, 3, [["net/bias", "[3] float32", "[3] float64"]])


def test_missing_in_the_checkpoint(saved):
    wanted = variables(**{"net/scale": np.zeros((), np.float32)})
    refused(saved, wanted, 1, 4, [["net/scale", "-", "[] float32"]])


def test_missing_in_the_model(saved):
    wanted = variables(**{"optimizer/step": None})
    refused(saved, wanted, 1, 2, [["optimizer/step", "[] int64", "-"]])


def test_all_kinds_at_once_are_listed_by_name(saved):
    """# fault G5"""
    changes = {
        "net/kernel": np.zeros((2, 4), np.float32),
        "net/bias": None,
        "net/scale": np.zeros(1, np.float32),
    }
    rows = [
        ["net/bias", "[3] float32", "-"],
        ["net/kernel", "[2, 3] float32", "[2, 4] float32"],
        ["net/scale", "-", "[1] float32"],
    ]
    refused(saved, variables(**changes), 3, 3, rows)


def test_prefix_still_needs_all_of_its_part(saved):
    wanted = {"net/kernel": tf.Variable(np.zeros((2, 3), np.float32))}
    refused(saved, wanted, 1, 1, [["net/bias", "[3] float32", "-"]], prefix="net/")


def test_columns_of_the_table_line_up(saved):
    with pytest.raises(UserError) as caught:
        restore(saved, {"a/name/longer/than/the/others": tf.Variable(0.0)})
    lines = caught.value.details.splitlines()
    starts = {line.index(text) for line, text in zip(lines[1:], ["-", "[3]", "[2, 3]", "[]"])}
    assert starts == {lines[0].index("in the checkpoint")}
