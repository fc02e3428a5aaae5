"""`dataset.json`: what is accepted, and the message for everything else."""

import copy
import dataclasses
import json
import os

import pytest

from resnet_tf.errors import UserError
from resnet_tf.input.manifest import Manifest, Shard

FIELDS = {
    "format_version": 1,
    "name": "shapes",
    "licence": "CC0",
    "classes": ["round", "square"],
    "label_offset": 0,
    "image": {"height": 4, "width": 6, "channels": 3},
    "mean": [10.0, 20.0, 30.0],
    "std": [1.0, 2.0, 3.0],
    "splits": {
        "train": [
            {"file": "train-0.tfrecord", "records": 3, "bytes": 5, "sha256": "aa"},
            {"file": "train-1.tfrecord", "records": 4, "bytes": 6, "sha256": "bb"},
        ],
        "test": [{"file": "test-0.tfrecord", "records": 2, "bytes": 7, "sha256": "cc"}],
        "nothing": [],
        "zero": [{"file": "zero-0.tfrecord", "records": 0, "bytes": 0, "sha256": "dd"}],
    },
}


def written(directory, **changes):
    fields = copy.deepcopy(FIELDS) | changes
    (directory / "dataset.json").write_text(json.dumps(fields), encoding="utf-8")
    return directory


def refused(code, directory, *texts):
    with pytest.raises(UserError) as caught:
        Manifest.load(directory)
    message = str(caught.value)
    assert caught.value.code == code
    assert message.startswith(f"ERROR {code}: ")
    assert message.count(" | ") == 2
    for text in texts:
        assert text in message


def test_fields_are_read(tmp_path):
    manifest = Manifest.load(written(tmp_path))
    assert (manifest.name, manifest.licence) == ("shapes", "CC0")
    assert manifest.classes == ("round", "square")
    assert (manifest.height, manifest.width, manifest.channels) == (4, 6, 3)
    assert (manifest.mean, manifest.std) == ((10.0, 20.0, 30.0), (1.0, 2.0, 3.0))
    assert manifest.splits["test"] == (Shard("test-0.tfrecord", 2, 7, "cc"),)
    assert manifest.records("train") == 7


def test_saved_manifest_is_read_back_equal(tmp_path):
    manifest = Manifest.load(written(tmp_path, classes=["Größe", "大"], label_offset=1))
    other = tmp_path / "other"
    other.mkdir()
    copied = dataclasses.replace(manifest, directory=other)
    copied.save()
    assert Manifest.load(other) == copied
    assert [path.name for path in other.iterdir()] == ["dataset.json"]
    assert "大" in (other / "dataset.json").read_text(encoding="utf-8")


def test_sizes_may_be_null(tmp_path):
    image = {"height": None, "width": None, "channels": 3}
    manifest = Manifest.load(written(tmp_path, image=image))
    assert (manifest.height, manifest.width) == (None, None)


def test_missing_directory(tmp_path):
    """# fault C14"""
    refused(66, tmp_path / "none", "does not exist", str(tmp_path / "none"), "data/prepare.py")


def test_file_instead_of_directory(tmp_path):
    (tmp_path / "file").write_text("")
    refused(66, tmp_path / "file", "not a directory", str(tmp_path / "file"))


def test_directory_without_manifest(tmp_path):
    refused(66, tmp_path, "the data directory has no dataset.json", str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "{'a': 1}", "nonsense", "[" * 100_000])
def test_bad_json(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    refused(65, tmp_path, "the manifest cannot be used", str(tmp_path / "dataset.json"))


@pytest.mark.parametrize("text", ["[]", "3", "null", '"text"'])
def test_json_of_another_kind(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    refused(65, tmp_path, "the manifest cannot be used")


def test_bytes_that_are_not_utf_8(tmp_path):
    (tmp_path / "dataset.json").write_bytes(b'{"name": "\xff"}')
    refused(65, tmp_path, "the manifest cannot be used")


def test_manifest_larger_than_16_mib(tmp_path):
    """# fault S6"""
    (tmp_path / "dataset.json").write_bytes(b" " * (16 * 2**20 + 1))
    refused(65, tmp_path, "larger than 16777216 bytes")


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_missing_field_is_named(tmp_path, field):
    fields = {name: value for name, value in FIELDS.items() if name != field}
    (tmp_path / "dataset.json").write_text(json.dumps(fields))
    refused(65, tmp_path, f"missing field '{field}'")


@pytest.mark.parametrize("field", ["height", "width", "channels"])
def test_missing_field_of_the_image_is_named(tmp_path, field):
    image = {name: 3 for name in ("height", "width", "channels") if name != field}
    refused(65, written(tmp_path, image=image), f"missing field '{field}'")


SHARD = FIELDS["splits"]["train"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version must be 1, got 2"),
        ({"format_version": "1"}, "format_version must be 1, got '1'"),
        ({"classes": []}, "classes must be distinct names, at least one"),
        ({"classes": ["a", "b", "a"]}, "classes must be distinct names, at least one"),
        ({"image": {"height": 4, "width": 4, "channels": 2}}, "channels must be 1 or 3, got 2"),
        ({"image": {"height": 0, "width": 4, "channels": 3}}, "null or 1 or more, got 0"),
        ({"image": {"height": 4, "width": -1, "channels": 3}}, "null or 1 or more, got -1"),
        ({"image": {"height": 4.5, "width": 4, "channels": 3}}, "null or 1 or more, got 4.5"),
        ({"image": {"height": "4", "width": 4, "channels": 3}}, "null or 1 or more, got '4'"),
        ({"image": 5}, "the manifest cannot be used"),
        ({"mean": [1.0]}, "mean and std must have 3 values, one a channel"),
        ({"std": [1.0] * 4}, "mean and std must have 3 values, one a channel"),
        ({"mean": [-1.0, 0, 0]}, "mean must be in [0, 255] and std in (0, 255], in pixel units"),
        ({"mean": [256, 0, 0]}, "mean must be in [0, 255]"),
        ({"mean": [float("nan"), 0, 0]}, "mean must be in [0, 255]"),
        ({"std": [0.0, 1, 1]}, "std in (0, 255]"),
        ({"std": [float("inf"), 1, 1]}, "std in (0, 255]"),
        ({"std": ["wide", 1, 1]}, "the manifest cannot be used"),
        ({"label_offset": "one"}, "the manifest cannot be used"),
        ({"label_offset": None}, "the manifest cannot be used"),
        ({"label_offset": float("inf")}, "the manifest cannot be used"),
        ({"splits": []}, "the manifest cannot be used"),
        ({"splits": {"train": [SHARD | {"records": -1}]}}, "of train-0.tfrecord must be counts"),
        ({"splits": {"train": [SHARD | {"bytes": 1.5}]}}, "of train-0.tfrecord must be counts"),
        ({"splits": {"train": [SHARD | {"records": "3"}]}}, "of train-0.tfrecord must be counts"),
        ({"splits": {"train": [SHARD | {"colour": "red"}]}}, "the manifest cannot be used"),
        ({"splits": {"train": [{"file": "a"}]}}, "the manifest cannot be used"),
    ],
)
def test_malformed_field(tmp_path, changes, message):
    refused(65, written(tmp_path, **changes), message, str(tmp_path / "dataset.json"))


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "..", ".", "", "x/", "./x"])
def test_shard_outside_the_directory(tmp_path, file):
    """# fault S2"""
    splits = {"train": [SHARD | {"file": file}]}
    refused(65, written(tmp_path, splits=splits), f"must be a plain name, got {file!r}")


def test_shard_name_with_a_null_character(tmp_path):
    directory = written(tmp_path, splits={"train": [SHARD | {"file": "a\0b"}]})
    with pytest.raises(UserError) as caught:
        Manifest.load(directory).paths("train")
    assert caught.value.code in (65, 66)


def test_unknown_split(tmp_path):
    manifest = Manifest.load(written(tmp_path))
    with pytest.raises(UserError, match="no split is called 'dev'") as caught:
        manifest.shards("dev")
    assert caught.value.code == 64
    assert "there are nothing, test, train, zero" in str(caught.value)


@pytest.mark.parametrize("split", ["nothing", "zero"])
@pytest.mark.parametrize("method", ["records", "shards", "paths", "fingerprint"])
def test_split_without_records(tmp_path, split, method):
    manifest = Manifest.load(written(tmp_path))
    with pytest.raises(UserError, match=f"the split '{split}' has no records") as caught:
        getattr(manifest, method)(split)
    assert caught.value.code == 65


def with_files(directory):
    (directory / "train-0.tfrecord").write_bytes(b"x" * 5)
    (directory / "train-1.tfrecord").write_bytes(b"x" * 6)
    return Manifest.load(written(directory))


def shard_refused(manifest, code, *texts):
    with pytest.raises(UserError) as caught:
        manifest.paths("train")
    assert caught.value.code == code
    for text in texts:
        assert text in str(caught.value)


def test_paths_of_whole_shards(tmp_path):
    manifest = with_files(tmp_path)
    expected = [tmp_path / "train-0.tfrecord", tmp_path / "train-1.tfrecord"]
    assert manifest.paths("train") == expected


def test_missing_shard(tmp_path):
    """# fault C5"""
    manifest = with_files(tmp_path)
    (tmp_path / "train-1.tfrecord").unlink()
    shard_refused(manifest, 66, "cannot read a shard: No such file", "train-1.tfrecord")


@pytest.mark.parametrize("size", [0, 5, 7])
def test_shard_of_another_size(tmp_path, size):
    """# fault C12"""
    manifest = with_files(tmp_path)
    (tmp_path / "train-1.tfrecord").write_bytes(b"x" * size)
    text = f"the shard has {size} bytes, its manifest says 6"
    shard_refused(manifest, 65, text, "train-1.tfrecord")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_shard_that_is_no_regular_file(tmp_path, make):
    """# fault C16"""
    manifest = with_files(tmp_path)
    (tmp_path / "train-0.tfrecord").unlink()
    make(tmp_path / "train-0.tfrecord")
    shard_refused(manifest, 65, "a shard must be a regular file", "train-0.tfrecord")


def test_shard_that_is_a_link_to_itself(tmp_path):
    """# fault C16"""
    manifest = with_files(tmp_path)
    path = tmp_path / "train-0.tfrecord"
    path.unlink()
    path.symlink_to(path)
    text = "cannot read a shard: Too many levels of symbolic links"
    shard_refused(manifest, 66, text, "train-0.tfrecord")


def test_shard_that_may_not_be_read(tmp_path, monkeypatch):
    """# fault C15"""
    manifest = with_files(tmp_path)
    closed = tmp_path / "train-1.tfrecord"
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)  # root may read all
    text = "cannot read a shard: Permission denied"
    shard_refused(manifest, 66, text, "train-1.tfrecord")


def fingerprint(directory, **changes):
    return Manifest.load(written(directory, **changes)).fingerprint("train")


def test_fingerprint_leaves_out_place_name_and_file_names(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    renamed = [SHARD | {"file": "a"}, FIELDS["splits"]["train"][1] | {"file": "b"}]
    changes = {"name": "else", "licence": "MIT", "splits": {"train": renamed}}
    assert fingerprint(tmp_path) == fingerprint(other, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["square", "round"]},
        {"classes": ["round", "other"]},
        {"label_offset": 1},
        {"splits": {"train": [SHARD | {"sha256": "ee"}, FIELDS["splits"]["train"][1]]}},
        {"splits": {"train": FIELDS["splits"]["train"][::-1]}},
        {"splits": {"train": [SHARD]}},
    ],
)
def test_fingerprint_changes_with_what_the_split_is(tmp_path, changes):
    assert fingerprint(tmp_path) != fingerprint(tmp_path, **changes)


def test_fingerprints_of_splits_differ(tmp_path):
    manifest = Manifest.load(written(tmp_path))
    assert manifest.fingerprint("train") != manifest.fingerprint("test")
