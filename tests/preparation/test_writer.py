"""Writing a data set: the same bytes every time, whole or not at all."""

import hashlib
import os

import numpy as np
import pytest
from made_pictures import noise, payloads, picture, pictures, refused, write

from resnet_tf.errors import UserError
from resnet_tf.input import records
from resnet_tf.input.manifest import Manifest
from resnet_tf.preparation import Listing, Picture, Progress, plan, shard, write_dataset

import tensorflow as tf  # isort: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_every_picture_is_there_once_with_its_label(tmp_path):
    manifest = write(tmp_path / "out")
    expected = {p.filename: (p.read(), p.label) for p in pictures(12)}
    found = {}
    for payload in payloads(manifest, "train"):
        feature = tf.train.Example.FromString(payload).features.feature
        label = feature["image/class/label"].int64_list.value[0]
        assert feature["image/class/text"].bytes_list.value[0] == b"abc"[label : label + 1]
        assert feature["image/height"].int64_list.value[0] == 4
        found[feature["image/filename"].bytes_list.value[0].decode()] = records.decode(payload)
    assert found == expected
    assert len(payloads(manifest, "train")) == 12


def test_manifest_describes_the_files(tmp_path):
    manifest = write(tmp_path / "out")
    assert (manifest.name, manifest.licence, manifest.classes) == ("made", "CC0", ("a", "b", "c"))
    assert (manifest.records("train"), manifest.records("test")) == (12, 5)
    assert manifest.label_offset == 0
    assert manifest == Manifest.load(tmp_path / "out")
    for part in (part for shards in manifest.splits.values() for part in shards):
        data = (tmp_path / "out" / part.file).read_bytes()
        assert part.bytes == len(data)
        assert part.sha256 == hashlib.sha256(data).hexdigest()


def test_nothing_else_is_left(tmp_path):
    write(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dataset.json",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
    ]


def test_the_same_pictures_make_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_records_are_mixed_by_the_seed(tmp_path):
    orders = [payloads(write(tmp_path / str(seed), seed=seed), "train") for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    in_order = [p.read() for p in pictures(12)]
    assert [records.decode(payload)[0] for payload in orders[0]] != in_order


def test_parent_folders_are_made(tmp_path):
    write(tmp_path / "a" / "b" / "out")
    assert (tmp_path / "a" / "b" / "out" / "dataset.json").is_file()


@pytest.mark.parametrize("make", [os.mkdir, lambda p: p.touch(), lambda p: p.symlink_to("none")])
def test_existing_output_is_refused(tmp_path, make):
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    refused(73, tmp_path / "out", "the output exists", str(tmp_path / "out"))
    assert sorted(tmp_path.rglob("*")) == before


def test_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    refused(73, tmp_path / "file" / "out", "cannot create the output: Not a directory")


def broken(encoded):
    return Picture(lambda: encoded, len(encoded), 0, "broken.png")


def unreadable():
    raise PermissionError(13, "Permission denied")


PNG = tf.io.encode_png(noise(0)).numpy()
JPEG = tf.io.encode_jpeg(noise(0, 16, 16)).numpy()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (broken(b"GIF89a"), "the picture is neither JPEG nor PNG"),
        (broken(b""), "the picture is neither JPEG nor PNG"),
        (broken(PNG[:-20]), "the picture cannot be decoded"),
        (broken(JPEG[: len(JPEG) // 2]), "the picture cannot be decoded"),
        (broken(PNG[:8] + b"no chunks"), "the picture cannot be decoded"),
        (Picture(unreadable, 9, 0, "broken.png"), "the picture cannot be read: Permission denied"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_bad_picture_is_named_and_nothing_is_left(tmp_path, bad, message, split):
    splits = {"train": pictures(3), "test": pictures(3)}
    splits[split] = [*splits[split], bad]
    refused(65, tmp_path / "out", message, "broken.png", splits=splits)
    assert list(tmp_path.iterdir()) == []


def test_picture_that_vanished_is_named(tmp_path):
    gone = Picture((tmp_path / "gone.png").read_bytes, 10, 0, "gone.png")
    text = "the picture cannot be read: No such file or directory"
    refused(65, tmp_path / "out", text, "gone.png", splits={"train": [gone]})


def test_empty_split_is_refused(tmp_path):
    splits = {"train": pictures(3), "test": []}
    refused(65, tmp_path / "out", "the split 'test' has no records", splits=splits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "failure",
    [OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "full")],
)
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, failure):
    """# fault C18"""

    def full(*_):
        raise failure

    monkeypatch.setattr(shard, "sync", full)
    refused(74, tmp_path / "out", "writing failed", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_failing_disk_inside_tensorflow_leaves_nothing(tmp_path, monkeypatch):
    def failing(*_):
        raise tf.errors.UnknownError(None, None, "Input/output error")

    monkeypatch.setattr(shard, "sync", failing)
    refused(74, tmp_path / "out", "writing failed")
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing(tmp_path):
    class Interrupted(Progress):
        def advance(self, size):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", progress=Interrupted())
    assert list(tmp_path.iterdir()) == []


def test_large_splits_are_cut_into_shards(tmp_path, monkeypatch):
    whole = write(tmp_path / "whole")
    total = sum(p.size for p in pictures(12))
    monkeypatch.setattr(plan, "SHARD_BYTES", total / 5)  # 12 pictures in 5 shards
    manifest = write(tmp_path / "cut")
    shards = manifest.shards("train")
    assert [shard.file for shard in shards] == [
        f"train-{i:05d}-of-00005.tfrecord" for i in range(5)
    ]
    # floor((i + 1) · 12 / 5) - floor(i · 12 / 5)
    assert [shard.records for shard in shards] == [2, 2, 3, 2, 3]
    assert payloads(manifest, "train") == payloads(whole, "train")


def statistics(pixels):
    flat = np.concatenate([p.reshape(-1, p.shape[2]) for p in pixels]).astype(np.float64)
    return flat.mean(axis=0), flat.std(axis=0)


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path):
    splits = {"test": [picture(np.full((4, 4, 3), 255, np.uint8))], "train": pictures(12)}
    manifest = write(tmp_path / "out", splits)
    mean, std = statistics([noise(i) for i in range(12)])
    np.testing.assert_allclose(manifest.mean, mean, atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, std, atol=5.1e-5)


def test_mean_counts_pixels_and_not_pictures(tmp_path):
    pixels = [noise(0, 8, 8), noise(1, 2, 3)]
    manifest = write(tmp_path / "out", {"train": [picture(p) for p in pixels]})
    mean, std = statistics(pixels)
    np.testing.assert_allclose(manifest.mean, mean, atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, std, atol=5.1e-5)


def test_without_train_the_first_split_is_measured(tmp_path):
    splits = {"first": pictures(4), "second": pictures(4, 50)}
    manifest = write(tmp_path / "out", splits)
    np.testing.assert_allclose(
        manifest.mean, statistics([noise(i) for i in range(4)])[0], atol=1e-4
    )


def test_grey_pictures_have_one_channel(tmp_path):
    manifest = write(tmp_path / "out", {"train": pictures(6, channels=1)})
    mean, std = statistics([noise(i, channels=1) for i in range(6)])
    assert manifest.channels == 1
    np.testing.assert_allclose(manifest.mean, mean, atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, std, atol=5.1e-5)


@pytest.mark.parametrize("colour_in", ["train", "test"])
def test_one_colour_picture_makes_the_set_rgb(tmp_path, colour_in):
    splits = {"train": pictures(3, channels=1), "test": pictures(3, 10, channels=1)}
    splits[colour_in] = [*splits[colour_in], picture(noise(99))]
    manifest = write(tmp_path / "out", splits)
    assert manifest.channels == 3
    measured = [np.repeat(noise(i, channels=1), 3, axis=2) for i in range(3)]
    measured += [noise(99)] if colour_in == "train" else []
    mean, std = statistics(measured)
    np.testing.assert_allclose(manifest.mean, mean, atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, std, atol=5.1e-5)


@pytest.mark.parametrize(("stored", "channels"), [(2, 1), (4, 3)])
def test_alpha_is_no_channel(tmp_path, stored, channels):
    pixels = noise(0, channels=stored)
    manifest = write(tmp_path / "out", {"train": [picture(pixels)]})
    assert manifest.channels == channels
    np.testing.assert_allclose(manifest.mean, statistics([pixels[..., :channels]])[0], atol=5.1e-5)


def test_size_is_noted_where_it_is_the_same(tmp_path):
    manifest = write(tmp_path / "out", {"train": pictures(3, height=5, width=7)})
    assert (manifest.height, manifest.width) == (5, 7)


def test_sizes_that_vary_are_null(tmp_path):
    splits = {"train": pictures(3), "test": [picture(noise(0, 4, 5))]}
    manifest = write(tmp_path / "out", splits)
    assert (manifest.height, manifest.width) == (None, None)
    assert '"height": null' in (tmp_path / "out" / "dataset.json").read_text()


def test_constant_pictures_have_a_deviation_to_divide_by(tmp_path):
    manifest = write(tmp_path / "out", {"train": [picture(np.full((4, 4, 1), 9, np.uint8))]})
    assert manifest.mean == (9.0,)
    assert manifest.std == (1.0,)


def test_class_name_that_is_not_utf_8_is_an_error_of_the_data(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    refused(65, tmp_path / "out", splits={"train": pictures(3)}, classes=["a", "b", name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (("a", "b", "a"), "two classes are called 'a' | "),
        (("a", "b", "\udcff"), "a class's name is not UTF-8 | "),
    ],
)
def test_class_names_that_no_manifest_takes(tmp_path, classes, text):
    refused(65, tmp_path / "out", text, classes=classes)
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_s_name_that_is_not_utf8(tmp_path):
    listing = Listing("\udcff", "CC0", ("a", "b", "c"), {"train": pictures(3)})
    with pytest.raises(UserError, match=r"^ERROR 65: the data set's name is not UTF-8 "):
        write_dataset(tmp_path / "out", listing)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long(tmp_path):
    for length in (250, 300):  # of which the first is too long only with what is put behind it
        refused(73, tmp_path / ("x" * length), "cannot create the output: File name too long")
    assert list(tmp_path.iterdir()) == []


def test_output_behind_a_folder_that_is_not_there_yet(tmp_path):
    manifest = write(tmp_path / "new" / ".." / "out")
    assert manifest == Manifest.load(tmp_path / "new" / ".." / "out")
    assert (tmp_path / "out" / "dataset.json").is_file()


def test_a_source_that_cannot_encode_a_picture_is_no_bad_disk(tmp_path):
    def read():
        raise tf.errors.InvalidArgumentError(None, None, "PNG encoding failed")

    splits = {"train": [*pictures(3), Picture(read, 10, 0, "wide.png")]}
    refused(65, tmp_path / "out", "the picture cannot be decoded | wide.png | ", splits=splits)
