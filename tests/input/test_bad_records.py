"""Records that are left out, what takes their place, and what is said of them."""

import made
import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.input import faults, index
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.memory import MemoryReader
from resnet_tf.input.stored import EncodedMemoryReader

import tensorflow as tf  # isort: skip

ERROR = UserError(65, "what", "where", "remedy")


def replaced(bad, *ids):
    return bad.replace(tf.constant(ids, tf.int64)).numpy().tolist()


def test_the_next_sound_record_of_the_shard_takes_its_place():
    bad = BadRecords((3, 4, 0, 2), limit=10)
    everything = tuple(range(9))
    assert replaced(bad, *everything) == list(everything)
    bad.add(4, ERROR)
    assert replaced(bad, 3, 4, 4, 5) == [3, 5, 5, 5]
    bad.add(5, ERROR)
    assert replaced(bad, 4, 5) == [6, 6]
    bad.add(6, ERROR)  # the last of its shard: around to its first
    assert replaced(bad, *everything) == [0, 1, 2, 3, 3, 3, 3, 7, 8]
    bad.add(8, ERROR)
    assert replaced(bad, 8, 7) == [7, 7]
    assert list(bad.found) == [4, 5, 6, 8] and set(bad.found.values()) == {ERROR}


def test_in_a_graph_too():
    bad = BadRecords((3,), limit=1)
    bad.add(0, ERROR)
    traced = tf.function(bad.replace)
    assert traced(tf.constant([2, 0, 1], tf.int64)).numpy().tolist() == [2, 1, 1]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_no_more_than_the_limit(limit):
    bad = BadRecords((9,), limit)
    for record in range(limit):
        bad.add(record, UserError(65, f"record {record}", "", ""))
    with pytest.raises(UserError) as caught:
        bad.add(5, ERROR)
    assert caught.value is ERROR and list(bad.found) == list(range(limit))
    with pytest.raises(UserError):
        BadRecords.none().add(0, ERROR)


def test_a_shard_without_a_sound_record_is_refused():
    bad = BadRecords((2, 2), limit=10)
    bad.add(2, ERROR)
    with pytest.raises(UserError, match="what"):
        bad.add(3, ERROR)
    with pytest.raises(UserError):
        BadRecords((1,), limit=1).add(0, ERROR)


# --- what is said of a record

SIZES = (3, 4)
SOUND = made.png(made.pixels(0, 4, 4))
HUGE = bytearray(SOUND)
HUGE[16:24] = (30_000).to_bytes(4, "big") * 2


def jpeg_without_end():
    return made.jpeg(made.pixels(0, 40, 40))[:-300]


FAULTS = {
    "checksum": "the record fails its checksum",
    "length": "the record fails its checksum",
    "cut": "the picture cannot be decoded: it is cut off: the end of the JPEG is missing",
    "gif": "image/encoded is neither JPEG nor PNG, it starts b'GIF89a",
    "huge": "the picture has 30000x30000 pixels, more than the 89,478,485 that are allowed",
    "label 10": "label 10 is not in 0..9",
    "label -1": "label -1 is not in 0..9",
    "no label": "image/class/label must be one integer",
}


def payload_with(fault):
    if fault.startswith("label"):
        return made.record(SOUND, int(fault.split()[1]))
    if fault == "no label":
        picture = tf.train.Feature(bytes_list=tf.train.BytesList(value=[SOUND]))
        features = tf.train.Features(feature={"image/encoded": picture})
        return tf.train.Example(features=features).SerializeToString(deterministic=True)
    pictures = {"cut": jpeg_without_end, "gif": lambda: b"GIF89a" + b"." * 99,
                "huge": lambda: bytes(HUGE)}  # fmt: skip
    return made.record(pictures.get(fault, lambda: SOUND)(), 0)


def with_fault(directory, fault, bad=5):
    """Seven records in two shards, of which record 5, number 2 of its shard, is bad."""
    payloads = [made.record(made.png(made.pixels(i, 4, 4)), i) for i in range(sum(SIZES))]
    payloads[bad] = payload_with(fault)
    manifest = made.data_set(directory, {"train": made.split_up(payloads, SIZES)}, size=4)
    path = manifest.paths("train")[1]
    payload, _ = index.walk(path)[bad - SIZES[0]]
    if fault in ("checksum", "length"):
        data = bytearray(path.read_bytes())
        data[payload + 9 if fault == "checksum" else payload - 1] ^= 4
        path.write_bytes(data)
    return manifest, f"{FAULTS[fault]}", f"(record 2 at byte {payload - 12}) | {path} | "


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_record_is_named_by_file_number_and_byte(tmp_path, fault):
    """# fault C9, D2, D7, D13, D14"""
    manifest, why, where = with_fault(tmp_path, fault)
    error = faults.find(manifest, "train", 5)
    assert error.code == 65 and str(error).startswith(f"ERROR 65: {why}") and where in str(error)
    assert "data/check.py finds all of them" in str(error)
    assert [faults.find(manifest, "train", i) for i in (0, 1, 2, 3, 4, 6)] == [None] * 6


def in_memory(manifest, bad):
    return MemoryReader(manifest, "train", manifest.pictures(4, 4), bad)


def encoded_in_memory(manifest, bad):
    return EncodedMemoryReader(manifest, "train", manifest.pictures(4, 4), bad)


@pytest.mark.parametrize("fault", FAULTS)
def test_memory_refuses_it_or_leaves_it_out(tmp_path, fault):
    manifest, why, where = with_fault(tmp_path, fault)
    with pytest.raises(UserError) as caught:
        in_memory(manifest, BadRecords.none())
    assert why in str(caught.value) and where in str(caught.value)
    bad = BadRecords(SIZES, limit=1)
    reader = in_memory(manifest, bad)
    assert list(bad.found) == [5] and str(bad.found[5]) == str(caught.value)
    for i in (0, 1, 2, 3, 4, 6):
        np.testing.assert_array_equal(reader.images[i].numpy(), made.pixels(i, 4, 4))
        assert reader.labels[i].numpy() == i


@pytest.mark.parametrize("fault", ["checksum", "gif", "label 10"])
def test_encoded_memory_too(tmp_path, fault):
    manifest, why, _ = with_fault(tmp_path, fault)
    with pytest.raises(UserError, match="record 2 at byte"):
        encoded_in_memory(manifest, BadRecords.none())
    bad = BadRecords(SIZES, limit=1)
    encoded_in_memory(manifest, bad)
    assert list(bad.found) == [5] and why in str(bad.found[5])


def test_several_bad_records_count_against_the_limit(tmp_path):
    payloads = [made.record(SOUND, i % 3 * 5) for i in range(6)]  # labels 0, 5, 10
    manifest = made.data_set(tmp_path, {"train": [payloads]}, size=4)
    bad = BadRecords((6,), limit=2)
    in_memory(manifest, bad)
    assert list(bad.found) == [2, 5]
    with pytest.raises(UserError, match="record 5 at byte"):
        in_memory(manifest, BadRecords((6,), limit=1))


def test_a_shard_that_is_gone_is_66(tmp_path):
    manifest, *_ = with_fault(tmp_path, "gif")
    manifest.paths("train")[1].unlink()
    for record in (0, 5):
        with pytest.raises(UserError, match="ERROR 66: cannot read a shard: No such file"):
            faults.find(manifest, "train", record)


@pytest.mark.parametrize("bad", [[], [0], [2], [3, 4], [0, 1, 2, 3, 6]])
def test_the_unreadable_records_of_some_shards(tmp_path, bad):
    payloads = [made.record(SOUND, i) for i in range(sum(SIZES))]
    manifest = made.data_set(tmp_path, {"train": made.split_up(payloads, SIZES)}, size=4)
    where = index.build(manifest, "train")
    for record in bad:
        shard, payload, _ = where[record]
        path = manifest.paths("train")[shard]
        data = bytearray(path.read_bytes())
        data[payload + 9] ^= 4
        path.write_bytes(data)
    assert faults.unreadable(manifest, "train", [0, 1]) == bad
    assert faults.unreadable(manifest, "train", [1]) == [i for i in bad if i >= SIZES[0]]
    assert faults.unreadable(manifest, "train", []) == []
