"""Records put into other shards: all of them, some classes, encoded anew, made elsewhere."""

import dataclasses
import json

import pytest
from made_pictures import noise, payloads, pictures, write

from resnet_tf.errors import UserError
from resnet_tf.files import sha256_of
from resnet_tf.input import headers, records
from resnet_tf.input.manifest import Features, Manifest, Shard
from resnet_tf.preparation import Recode, plan, tfrecord, write_dataset

import tensorflow as tf  # isort: skip


def found(manifest, split="train"):
    """Picture's bytes, label and class name, by file name."""
    result = {}
    for payload in payloads(manifest, split):
        feature = tf.train.Example.FromString(payload).features.feature
        name = feature["image/filename"].bytes_list.value[0].decode()
        text = feature["image/class/text"].bytes_list.value[0].decode()
        result[name] = (*records.decode(payload), text)
    return result


def expected(pictures_, classes, kept):
    return {
        p.filename: (p.read(), kept.index(classes[p.label]), classes[p.label])
        for p in pictures_
        if classes[p.label] in kept
    }


def refused(code, source, *texts, **options):
    with pytest.raises(UserError) as caught:
        tfrecord.listing(source, **options)
    assert caught.value.code == code
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("shards", [1, 4])
def test_all_records_go_into_other_shards(tmp_path, monkeypatch, shards):
    write(tmp_path / "old")
    monkeypatch.setattr(plan, "SHARD_BYTES", sum(p.size for p in pictures(12)) / shards)
    listing = tfrecord.listing(tmp_path / "old")
    assert (listing.name, listing.licence, listing.classes) == ("made", "CC0", ("a", "b", "c"))
    manifest = write_dataset(tmp_path / "new", listing, seed=3)
    assert found(manifest) == expected(pictures(12), "abc", "abc")
    assert found(manifest, "test") == expected(pictures(5, 100), "abc", "abc")


def test_from_several_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_BYTES", sum(p.size for p in pictures(12)) / 5)
    write(tmp_path / "old")
    manifest = write_dataset(tmp_path / "new", tfrecord.listing(tmp_path / "old"))
    assert found(manifest) == expected(pictures(12), "abc", "abc")


@pytest.mark.parametrize("kept", ["ca", "b", "cba"])
def test_some_classes_in_another_order(tmp_path, kept):
    write(tmp_path / "old")
    (tmp_path / "kept.txt").write_text("\n".join(kept) + "\n\n")
    listing = tfrecord.listing(tmp_path / "old", classes=tmp_path / "kept.txt")
    manifest = write_dataset(tmp_path / "new", listing)
    assert manifest.classes == tuple(kept)
    assert found(manifest) == expected(pictures(12), "abc", kept)


def test_pictures_are_encoded_anew(tmp_path):
    write(tmp_path / "old", {"train": pictures(3, height=20, width=10)})
    listing = tfrecord.listing(tmp_path / "old")
    manifest = write_dataset(tmp_path / "new", listing, recode=Recode(10, 90))
    assert (manifest.height, manifest.width) == (10, 5)
    assert {headers.format_of(encoded) for encoded, *_ in found(manifest).values()} == {"jpeg"}


def elsewhere(directory, labels, names=(), **options):
    """Records with fields of another kind, and the manifest that describes them."""
    directory.mkdir()
    path = directory / "train-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i, label in enumerate(labels):
            feature = {
                "picture": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[tf.io.encode_png(noise(i)).numpy()])
                ),
                "class": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            if names:
                feature["key"] = tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[names[i].encode()])
                )
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    part = Shard(path.name, len(labels), path.stat().st_size, sha256_of(path))
    Manifest(
        directory, "else", "CC0", ("x", "y"), 1, 4, 4, 3, (1.0,) * 3, (1.0,) * 3,
        {"train": (part,)}, Features("picture", "class", "key"), **options,
    ).save()  # fmt: skip
    return directory


def test_fields_and_label_offset_of_sets_made_elsewhere(tmp_path):
    source = elsewhere(tmp_path / "old", [1, 2, 1], ["k0", "k1", "k2"])
    manifest = write_dataset(tmp_path / "new", tfrecord.listing(source))
    assert {name: label for name, (_, label, _) in found(manifest).items()} == {
        "k0": 0, "k1": 1, "k2": 0,
    }  # fmt: skip
    assert (manifest.label_offset, manifest.features) == (0, Features())
    assert found(manifest)["k1"][0] == tf.io.encode_png(noise(1)).numpy()


def test_records_without_a_name_are_called_by_their_place(tmp_path):
    listing = tfrecord.listing(elsewhere(tmp_path / "old", [1, 2]))
    names = [picture.filename for picture in listing.splits["train"]]
    assert names == ["train-00000-of-00001:0", "train-00000-of-00001:1"]


@pytest.mark.parametrize(("label", "shown"), [(0, 0), (3, 3), (-1, -1)])
def test_label_out_of_range(tmp_path, label, shown):
    source = elsewhere(tmp_path / "old", [1, label])
    refused(65, source, f"record 1 has the label {shown}, which no class has", "train-00000")


def test_missing_field(tmp_path):
    source = elsewhere(tmp_path / "old", [1, 2])
    manifest = Manifest.load(source)
    dataclasses.replace(manifest, features=Features("picture", "label", "key")).save()
    refused(65, source, "a record does not have the fields label (one integer) and key (bytes)")


def test_damaged_record(tmp_path):
    source = write(tmp_path / "old").directory
    path = source / "train-00000-of-00001.tfrecord"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    refused(65, source, "a record fails its checksum", str(path))


def test_lost_record(tmp_path):
    source = write(tmp_path / "old").directory
    path = source / "dataset.json"
    fields = json.loads(path.read_text())
    fields["splits"]["train"][0]["records"] += 1
    path.write_text(json.dumps(fields))
    refused(65, source, "expected 13 records, found 12")


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (None, 66, "cannot be read: No such file or directory"),
        (b"a\nd\n", 65, "there is no class 'd'"),
        (b"a\nb\na\n", 65, "the class 'a' is named twice"),
        (b"\n \n", 65, "it names no classes"),
        (b"\xff\xfe", 65, "is not UTF-8"),
    ],
)
def test_file_of_classes_that_is_refused(tmp_path, content, code, text):
    source = write(tmp_path / "old").directory
    if content is not None:
        (tmp_path / "kept.txt").write_bytes(content)
    refused(code, source, text, str(tmp_path / "kept.txt"), classes=tmp_path / "kept.txt")


def test_split_without_the_classes(tmp_path):
    source = write(tmp_path / "old", {"train": pictures(6), "test": pictures(2)}).directory
    (tmp_path / "kept.txt").write_text("c")  # test holds only a and b
    text = "the split 'test' has no pictures of these classes"
    refused(65, source, text, classes=tmp_path / "kept.txt")


def test_no_data_set(tmp_path):
    refused(66, tmp_path, "has no dataset.json")
