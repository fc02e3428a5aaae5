"""Sets in the form of MNIST, from hand-made idx files."""

import gzip
import os
import struct

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.errors import UserError
from resnet_tf.preparation import mnist

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.array([3, 0, 9, 3, 1], np.uint8)
TEST = IMAGES[:2] ^ 255


def images(array, magic=2051):
    return struct.pack(">iiii", magic, *array.shape) + array.tobytes()


def labels(values, magic=2049):
    return struct.pack(">ii", magic, len(values)) + bytes(values)


USUAL = {
    "train-images-idx3-ubyte": images(IMAGES),
    "train-labels-idx1-ubyte": labels(LABELS),
    "t10k-images-idx3-ubyte": images(TEST),
    "t10k-labels-idx1-ubyte": labels([7, 2]),
}


def folder(path, files=(), **changed):
    path.mkdir(exist_ok=True)
    for name, data in {**dict(files or USUAL), **changed}.items():
        (path / name).write_bytes(data)
    return path


def refused(code, source, *texts):
    with pytest.raises(UserError) as caught:
        mnist.listing(source)
    assert caught.value.code == code
    for text in texts:
        assert str(text) in str(caught.value)


def spelt(start, separator, test, pack, ending):
    for name, data in USUAL.items():
        name = name.replace("-idx", f"{separator}idx").replace("t10k", test)
        yield start + name + ending, pack(data)


@pytest.mark.parametrize("start", ["", "emnist-digits-"])
@pytest.mark.parametrize("separator", ["-", "."])
@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize(("pack", "ending"), [(bytes, ""), (gzip.compress, ".gz")])
def test_every_spelling(tmp_path, start, separator, test, pack, ending):
    files = spelt(start, separator, test, pack, ending)
    found = mnist.listing(folder(tmp_path / "mnist", files))
    assert found.classes == tuple("0123456789")
    assert (found.name, found.licence) == ("mnist", "not stated")
    assert [p.label for p in found.splits["train"]] == LABELS.tolist()
    assert [p.label for p in found.splits["test"]] == [7, 2]
    for split, expected in (("train", IMAGES), ("test", TEST)):
        pictures = [tf.io.decode_png(p.read()).numpy() for p in found.splits[split]]
        np.testing.assert_array_equal(np.stack(pictures), expected[..., None])
    assert [p.filename for p in found.splits["test"]] == ["test/00000.png", "test/00001.png"]


def test_a_packed_file_may_have_lost_its_ending(tmp_path):
    packed = {name: gzip.compress(data) for name, data in USUAL.items()}
    assert len(mnist.listing(folder(tmp_path / "mnist", packed)).splits["train"]) == 5


def test_other_sizes(tmp_path):
    wide = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    files = {"train-images-idx3-ubyte": images(wide), "train-labels-idx1-ubyte": labels([0, 1])}
    found = mnist.listing(folder(tmp_path / "wide", files))
    assert list(found.splits) == ["train"]
    picture = tf.io.decode_png(found.splits["train"][1].read()).numpy()
    np.testing.assert_array_equal(picture[..., 0], wide[1])


@pytest.mark.parametrize("name", ["fashion", "Fashion-MNIST", "fashion_mnist"])
def test_fashion_by_the_name_of_the_folder(tmp_path, name):
    classes = mnist.listing(folder(tmp_path / name)).classes
    assert len(classes) == 10
    assert (classes[0], classes[5], classes[9]) == ("T-shirt/top", "Sandal", "Ankle boot")


@pytest.mark.parametrize(
    ("train", "test", "classes", "indices"),
    [
        ([0, 4, 2, 46, 9], [46, 1], range(47), [0, 4, 2, 46, 9]),  # as EMNIST balanced
        ([1, 26, 2, 3, 4], [26, 1], range(1, 27), [0, 25, 1, 2, 3]),  # as EMNIST letters
        ([3, 3, 7, 3, 7], [9, 0], range(10), [3, 3, 7, 3, 7]),
    ],
)
def test_numbers_as_class_names(tmp_path, train, test, classes, indices):
    changed = {"train-labels-idx1-ubyte": labels(train), "t10k-labels-idx1-ubyte": labels(test)}
    found = mnist.listing(folder(tmp_path / "emnist", **changed))
    assert found.classes == tuple(str(number) for number in classes)
    assert [p.label for p in found.splits["train"]] == indices
    assert [found.classes[p.label] for p in found.splits["test"]] == [str(n) for n in test]


def test_label_that_training_lacks(tmp_path):
    changed = {"train-labels-idx1-ubyte": labels([1, 26, 2, 3, 4])}
    changed["t10k-labels-idx1-ubyte"] = labels([1, 27])
    source = folder(tmp_path / "emnist", **changed)
    text = "label 27 of picture 1 is not in 1 to 26"
    refused(65, source, text, source / "t10k-labels-idx1-ubyte")


def test_label_that_fashion_lacks(tmp_path):
    source = folder(tmp_path / "fashion", **{"train-labels-idx1-ubyte": labels([0, 1, 10, 2, 3])})
    refused(65, source, "label 10 of picture 2 is not in 0 to 9")


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("train-images-idx3-ubyte", b"", "not an idx file of images: it starts b''"),
        ("train-images-idx3-ubyte", b"\0\0\x08\x03\0", "not an idx file of images"),
        ("train-images-idx3-ubyte", images(IMAGES, 2049), "it starts b'\\x00\\x00\\x08\\x01'"),
        ("t10k-labels-idx1-ubyte", labels([1, 2], 2051), "not an idx file of labels"),
        ("train-images-idx3-ubyte", images(IMAGES)[:-1], "says 5 x 28 x 28, the file holds less"),
        ("train-images-idx3-ubyte", images(IMAGES) + b"x", "says 5 x 28 x 28, the file holds more"),
        ("t10k-labels-idx1-ubyte", labels([1, 2])[:-1], "the header says 2, the file holds less"),
        (
            "t10k-labels-idx1-ubyte",
            labels([1, 2]) + b"\0",
            "the header says 2, the file holds more",
        ),
        ("train-labels-idx1-ubyte", labels([]), "the header says 0, the file has 8 bytes"),
        (
            "train-images-idx3-ubyte",
            struct.pack(">iiii", 2051, -5, 28, 28) + bytes(100),
            "the header says -5 x 28 x 28, the file has 116 bytes",
        ),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_damaged_file(tmp_path, name, data, text, pack):
    source = folder(tmp_path / "mnist", **{name: pack(data)})
    if pack is gzip.compress:
        text = text.split(", the file has")[0]
    refused(65, source, text, source / name)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_header_that_claims_much_is_refused_before_anything_is_read(tmp_path, pack):
    data = struct.pack(">iiii", 2051, 2**31 - 1, 2**31 - 1, 2**31 - 1)
    source = folder(tmp_path / "mnist", **{"train-images-idx3-ubyte": pack(data)})
    refused(65, source, "the header says 2147483647 x 2147483647 x 2147483647, the file has")


def test_damaged_gzip(tmp_path):
    packed = gzip.compress(USUAL["train-images-idx3-ubyte"])
    flipped = bytearray(packed)
    flipped[-5] ^= 1  # of the length; and of the checksum, the block, and a cut
    wrong = packed[:-8] + bytes(4) + packed[-4:]
    for data in (flipped, wrong, packed[:40] + b"\xff" * 9 + packed[49:], packed[:-4], packed[:90]):
        source = folder(tmp_path / "mnist", **{"train-images-idx3-ubyte": bytes(data)})
        refused(65, source, "the gzip file is cut off or damaged", "train-images-idx3-ubyte")


def test_counts_that_differ(tmp_path):
    source = folder(tmp_path / "mnist", **{"train-labels-idx1-ubyte": labels([1, 2, 3, 4])})
    refused(65, source, "4 labels for 5 pictures", source / "train-labels-idx1-ubyte")


@pytest.mark.parametrize("name", USUAL)
def test_missing_file(tmp_path, name):
    source = folder(tmp_path / "mnist")
    (source / name).unlink()
    kind = "images" if "images" in name else "labels"
    split = "train" if "train" in name else "test"
    refused(66, source, f"there is no file of the {kind} of '{split}'", source)


def test_two_files_of_one_kind(tmp_path):
    source = folder(tmp_path / "mnist", **{"train-images-idx3-ubyte.gz": b""})
    text = "holds both train-images-idx3-ubyte and train-images-idx3-ubyte.gz"
    refused(65, source, text, "keep one of them")


def test_missing_folder(tmp_path):
    refused(66, tmp_path / "none", "no such folder")
    refused(66, folder(tmp_path / "mnist") / "t10k-labels-idx1-ubyte", "not a folder")


def test_hidden_files_are_passed_over(tmp_path):  # as macOS leaves them
    source = folder(tmp_path / "mnist", **{f"._{name}": b"x" for name in USUAL})
    assert len(mnist.listing(source).splits["train"]) == 5


def test_what_is_no_file_is_missing(tmp_path):
    source = folder(tmp_path / "set")
    (source / "train-images-idx3-ubyte").unlink()
    os.mkfifo(source / "train-images-idx3-ubyte")  # reading it would wait for ever
    refused(66, source, "there is no file of the images of 'train'")
