"""CIFAR from hand-made files of the binary version: every pixel, label and name."""

import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from resnet_tf.errors import UserError
from resnet_tf.preparation import cifar

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


def pixels(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def records(images, *labels):
    """Label bytes, then the red, the green and the blue plane."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([np.stack(labels, axis=1).astype(np.uint8), planes], axis=1).tobytes()


def cifar10():
    files = {"batches.meta.txt": "\n".join([*TEN, ""]).encode(), "readme.html": b"<html>"}
    for i, name in enumerate(BATCHES):
        files[name] = records(pixels(i, 3), [i, 9 - i, 0])
    return files


def cifar100():
    return {
        "coarse_label_names.txt": b"".join(b"coarse_%d\n" % i for i in range(20)),
        "fine_label_names.txt": b"".join(b"fine_%d\n" % i for i in range(100)),
        "train.bin": records(pixels(7, 4), [0, 19, 3, 3], [0, 99, 42, 41]),
        "test.bin": records(pixels(8, 2), [1, 2], [50, 60]),
    }


def folder(path, files):
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def archive(path, inside, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{inside}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def decoded(pictures):
    return np.stack([tf.io.decode_png(picture.read()).numpy() for picture in pictures])


def refused(code, source, *texts, **options):
    with pytest.raises(UserError) as caught:
        cifar.listing(source, **options)
    assert caught.value.code == code
    for text in texts:
        assert str(text) in str(caught.value)


def layouts(tmp_path, inside, files):
    folder(tmp_path / "parent" / inside, files)
    packed = archive(tmp_path / "official.tar.gz", inside, files)
    return {"itself": tmp_path / "parent" / inside, "parent": tmp_path / "parent", "tar": packed}


@pytest.mark.parametrize("layout", ["itself", "parent", "tar"])
def test_cifar10(tmp_path, layout):
    found = cifar.listing(layouts(tmp_path, "cifar-10-batches-bin", cifar10())[layout])
    assert found.classes == tuple(TEN)
    assert {split: len(pictures) for split, pictures in found.splits.items()} == {
        "train": 15,
        "test": 3,
    }
    assert [p.label for p in found.splits["train"]] == [0, 9, 0, 1, 8, 0, 2, 7, 0, 3, 6, 0, 4, 5, 0]
    assert [p.label for p in found.splits["test"]] == [5, 4, 0]
    expected = np.concatenate([pixels(i, 3) for i in range(5)])
    np.testing.assert_array_equal(decoded(found.splits["train"]), expected)
    np.testing.assert_array_equal(decoded(found.splits["test"]), pixels(5, 3))
    names = [p.filename for p in found.splits["train"]]
    assert names[:4] == [f"data_batch_1/0000{i}.png" for i in range(3)] + ["data_batch_2/00000.png"]
    assert len(set(names)) == 15
    assert (found.name, found.licence) == ("cifar10", "not stated")


@pytest.mark.parametrize("layout", ["itself", "parent", "tar"])
@pytest.mark.parametrize(
    ("labels", "name", "classes", "train", "test"),
    [
        ("fine", "cifar100", 100, [0, 99, 42, 41], [50, 60]),
        ("coarse", "cifar100_coarse", 20, [0, 19, 3, 3], [1, 2]),
    ],
)
def test_cifar100(tmp_path, layout, labels, name, classes, train, test):
    source = layouts(tmp_path, "cifar-100-binary", cifar100())[layout]
    found = cifar.listing(source, labels=labels)
    assert found.classes == tuple(f"{labels}_{i}" for i in range(classes))
    assert [p.label for p in found.splits["train"]] == train
    assert [p.label for p in found.splits["test"]] == test
    np.testing.assert_array_equal(decoded(found.splits["train"]), pixels(7, 4))
    np.testing.assert_array_equal(decoded(found.splits["test"]), pixels(8, 2))
    assert found.name == name


def test_pictures_are_the_same_bytes_every_time(tmp_path):
    source = folder(tmp_path / "c", cifar100())
    first, second = (cifar.listing(source).splits["train"][1] for _ in range(2))
    assert first.read() == first.read() == second.read()


@pytest.mark.parametrize("size", [0, 1, 3072, 3073 * 3 - 1, 3074 * 3])
def test_file_of_a_wrong_size(tmp_path, size):
    """# fault C19"""
    source = folder(tmp_path / "c", cifar10() | {"data_batch_3.bin": bytes(size)})
    text = f"the file has {size} bytes, not a multiple of 3073"
    refused(65, source, text, source / "data_batch_3.bin")


def test_file_of_a_wrong_size_in_the_archive(tmp_path):
    files = cifar100() | {"test.bin": bytes(3073)}
    source = archive(tmp_path / "c.tar.gz", "cifar-100-binary", files)
    refused(65, source, "the file has 3073 bytes, not a multiple of 3074", source / "test.bin")


def test_label_without_a_name(tmp_path):
    bad = records(pixels(0, 3), [1, 10, 200])
    source = folder(tmp_path / "c", cifar10() | {"data_batch_2.bin": bad})
    text = "record 1 has the label 10, and there are 10 classes"
    refused(65, source, text, source / "data_batch_2.bin")


def test_coarse_and_fine_labels_have_limits_of_their_own(tmp_path):
    bad = records(pixels(0, 1), [20], [20])
    source = folder(tmp_path / "c", cifar100() | {"test.bin": bad})
    assert cifar.listing(source).splits["test"][0].label == 20
    refused(65, source, "record 0 has the label 20, and there are 20 classes", labels="coarse")


@pytest.mark.parametrize("name", ["data_batch_4.bin", "test_batch.bin", "batches.meta.txt"])
def test_missing_file(tmp_path, name):
    files = cifar10()
    del files[name]
    source = folder(tmp_path / "c", files)
    refused(66, source, f"there is no {name}", source, "take all of cifar-10-binary.tar.gz")
    packed = archive(tmp_path / "c.tar.gz", "cifar-10-batches-bin", files)
    refused(66, packed, f"there is no {name}", packed)


def test_labels_that_there_are_not(tmp_path):
    source = folder(tmp_path / "c", cifar10())
    refused(64, source, "must be fine, cifar10 has no coarse ones", labels="coarse")
    refused(64, source, "must be fine or coarse", "'medium'", labels="medium")


@pytest.mark.parametrize(
    "name", ["cifar-10-batches-py", "cifar-100-python", "data_batch_1", "meta"]
)
def test_python_version_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    refused(65, tmp_path, "the Python version is a pickle, which is not opened", "binary version")


def test_python_archive_is_refused(tmp_path):
    source = archive(
        tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py", {"data_batch_1": b""}
    )
    refused(65, source, "the Python version is a pickle, which is not opened", "binary version")


def test_nothing_of_cifar(tmp_path):
    refused(66, tmp_path, "no .bin files of CIFAR", tmp_path)
    refused(66, tmp_path / "none", "no such file or folder")
    refused(66, archive(tmp_path / "x.tar.gz", "x", {"x.bin": b""}), "no .bin files of CIFAR")


def test_two_data_sets(tmp_path):
    first = folder(tmp_path / "cifar-10-batches-bin", cifar10())
    folder(tmp_path / "cifar-100-binary", cifar100())
    refused(65, tmp_path, "holds two data sets", f"give --input={first}")
