"""The record schema."""

import pytest

from resnet_tf.input import records

import tensorflow as tf  # isort: skip

PNG = b"\x89PNG\r\n\x1a\n and the rest"
JPEG = b"\xff\xd8\xff\xe0 and the rest"


def features(serialized):
    return tf.train.Example.FromString(serialized).features.feature


def test_every_field_of_the_schema():
    found = features(records.encode(PNG, 7, "Größe", "7/digit_0003.png", 8, 9))
    assert sorted(found) == [
        "image/class/label",
        "image/class/text",
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/width",
    ]
    assert found["image/encoded"].bytes_list.value == [PNG]
    assert found["image/format"].bytes_list.value == [b"png"]
    assert found["image/class/label"].int64_list.value == [7]
    assert found["image/class/text"].bytes_list.value == ["Größe".encode()]
    assert found["image/filename"].bytes_list.value == [b"7/digit_0003.png"]
    assert found["image/height"].int64_list.value == [8]
    assert found["image/width"].int64_list.value == [9]


def test_tensorflow_parses_a_record():
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    parsed = tf.io.parse_single_example(records.encode(JPEG, 3, "c", "f", 1, 1), spec)
    assert parsed["image/encoded"].numpy() == JPEG
    assert parsed["image/class/label"].numpy() == 3


@pytest.mark.parametrize("encoded", [PNG, JPEG])
@pytest.mark.parametrize("label", [0, 7, 2**40, -1])
def test_round_trip(encoded, label):
    assert records.decode(records.encode(encoded, label, "c", "f", 1, 1)) == (encoded, label)


def test_the_same_picture_makes_the_same_bytes():
    one, other = (records.encode(PNG, 1, "c", "f", 2, 3) for _ in range(2))
    assert one == other


def test_file_name_that_is_not_utf_8_keeps_its_bytes():
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    found = features(records.encode(PNG, 1, "c", name, 2, 3))
    assert found["image/filename"].bytes_list.value == [b"caf\xe9.png"]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (PNG, "png"),
        (JPEG, "jpeg"),
        (b"GIF89a", None),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"BM", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_format_by_the_first_bytes(encoded, expected):
    assert records.image_format(encoded) == expected


@pytest.mark.parametrize(
    ("serialized", "message"),
    [
        (b"\xff\xff", "not a tf.train.Example"),
        (b"", "image/encoded must be one byte string"),
        (records.encode(PNG, 1, "c", "f", 1, 1)[:-5], "not a tf.train.Example"),
    ],
)
def test_decode_refuses(serialized, message):
    with pytest.raises(ValueError, match=message):
        records.decode(serialized)
