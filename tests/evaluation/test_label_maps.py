"""`evaluation.label_maps`: what they give, and every way in which they can be wrong."""

import json

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.evaluation import label_maps

NETWORK = ("tabby", "tiger cat", "beagle", "pug")


def written(tmp_path, told):
    path = tmp_path / "map.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return str(path)


def refused(code, message, function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert caught.value.code == code and message in str(caught.value)


def test_classes_by_their_names():
    assert label_maps.read_groups("names", NETWORK, ("pug", "tabby")) == [[3], [0]]
    message = "'cat' is no class of the network"
    refused(78, message, label_maps.read_groups, "names", NETWORK, ("pug", "cat"))


def test_groups_of_classes(tmp_path):
    told = {"cat": ["tiger cat", "tabby"], "dog": "pug", "unused": "no class"}
    found = label_maps.read_groups(written(tmp_path, told), NETWORK, ("dog", "cat"))
    assert found == [[3], [1, 0]]


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        ("{", 65, "the labels cannot be read: Expecting property name"),
        pytest.param("[" * 99_999, 65, "the labels cannot be read: ", id="too deep"),
        ([], 65, "not an object {class of the data: classes of the network}"),
        ({"cat": "tabby"}, 78, "it gives no class for 'dog' of the data"),
        ({"cat": "tabby", "dog": []}, 78, "it gives no class for 'dog' of the data"),
        ({"cat": "tabby", "dog": 3}, 78, "it gives no class for 'dog' of the data"),
        ({"cat": "tabby", "dog": "poodle"}, 78, "'poodle' is no class of the network"),
        ({"cat": "tabby", "dog": [3]}, 78, "3 is no class of the network"),
        ({"cat": "tabby", "dog": ["pug", "tabby"]}, 78, "class 'tabby' stands for two"),
    ],
)
def test_groups_that_cannot_be(tmp_path, told, code, message):
    path = written(tmp_path, told)
    refused(code, message, label_maps.read_groups, path, NETWORK, ("cat", "dog"))
    refused(code, path, label_maps.read_groups, path, NETWORK, ("cat", "dog"))


def test_a_file_that_is_missing(tmp_path):
    path = str(tmp_path / "none.json")
    message = "cannot be read: No such file"
    refused(66, message, label_maps.read_groups, path, NETWORK, ("cat",))
    refused(66, message, label_maps.read_alternatives, path, ["a"], NETWORK)


KEYS = ["val/b.jpg", "val/a.jpg", "val/c.jpg"]


@pytest.mark.parametrize(
    "told",
    [
        [[0, 1], [3], []],  # in the order of the names: a, b, c
        {"val/a.jpg": [0, 1], "val/b.jpg": ["pug"], "val/c.jpg": [], "more.jpg": [2]},
        {"a.jpg": ["tabby", 1], "elsewhere/b.jpg": [3], "c.jpg": []},
    ],
)
def test_alternative_labels(tmp_path, told):
    found = label_maps.read_alternatives(written(tmp_path, told), KEYS, NETWORK)
    assert found == [[3], [0, 1], []]
    counts = label_maps.alternative_counts(np.array([3, 2, 2]), found)
    assert counts == {"examples": 2, "correct_top1": 1, "top1": 0.5}


def test_pictures_of_two_folders_that_share_a_name_are_told_apart(tmp_path):
    keys = ["cat/1.jpg", "dog/1.jpg", "dog/2.jpg"]
    by_name = {"cat/1.jpg": [0], "dog/1.jpg": [2], "2.jpg": [3]}
    assert label_maps.read_alternatives(written(tmp_path, by_name), keys, NETWORK) == [
        [0], [2], [3],
    ]  # fmt: skip
    in_order = [[0], [2], [3]]  # of the whole names
    path = written(tmp_path, in_order)
    assert label_maps.read_alternatives(path, keys[::-1], NETWORK) == [[3], [2], [0]]


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        ({"1.jpg": [0]}, ["cat/1.jpg", "dog/1.jpg"]),  # which of the two records is meant?
        ({"cat/1.jpg": [0], "dog/1.jpg": [2]}, ["bird/1.jpg"]),  # which entry is meant?
        ({"cat/1.jpg": [0], "1.jpg": [2]}, ["cat/1.jpg", "dog/1.jpg"]),
    ],
)
def test_a_name_that_two_pictures_share_stands_for_neither(tmp_path, told, keys):
    message = f"no list of labels for '{keys[-1] if len(told) == 2 else keys[0]}'"
    refused(78, message, label_maps.read_alternatives, written(tmp_path, told), keys, NETWORK)


def test_no_record_counts():
    counts = label_maps.alternative_counts(np.array([3, 2]), [[], []])
    assert counts == {"examples": 0, "correct_top1": 0, "top1": None}


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        ("7", 65, "neither a list nor an object"),
        ([[0], [1]], 78, "it has 2 entries for 3 records"),
        ({"a.jpg": [0], "b.jpg": [1]}, 78, "it has no list of labels for 'val/c.jpg'"),
        ({"a.jpg": 0, "b.jpg": [1], "c.jpg": []}, 78, "no list of labels for 'val/a.jpg'"),
        ([[0], [4], []], 78, "4 is no class"),
        ([[0], [-1], []], 78, "-1 is no class"),
        ([[0], [True], []], 78, "True is no class"),
        ([[0], ["poodle"], []], 78, "'poodle' is no class"),
        ([[0], [0.5], []], 78, "0.5 is no class"),
    ],
)
def test_alternative_labels_that_cannot_be(tmp_path, told, code, message):
    path = written(tmp_path, told)
    refused(code, message, label_maps.read_alternatives, path, KEYS, NETWORK)
