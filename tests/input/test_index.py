"""The index: where records lie, and what it says of files that are none."""

import gzip
import hashlib
import os
import pathlib
import struct
import tempfile

import numpy as np
import pytest

from resnet_tf.errors import UserError
from resnet_tf.input import index
from resnet_tf.input.manifest import Manifest, Shard

import tensorflow as tf  # isort: skip

PAYLOADS = [b"first", b"", b"a longer third record " * 20, bytes(range(256)), b"last"]
# Header: 8 bytes of length and 4 of its checksum; 4 bytes of checksum after the payload.
SIZES = [12 + len(payload) + 4 for payload in PAYLOADS]
STARTS = np.cumsum([0, *SIZES])[:-1].tolist()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setenv("RESNET_TF_CACHE", str(path))
    return path


def write(path, payloads=PAYLOADS):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)
    return path


def manifest_of(*paths, records):
    shards = tuple(
        Shard(path.name, count, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path, count in zip(paths, records)
    )
    return Manifest(
        paths[0].parent, "n", "l", ("a",), 0, None, None, 1, (0.0,), (1.0,), {"train": shards}
    )


def walk_refused(path, *texts):
    with pytest.raises(UserError) as caught:
        index.walk(path)
    assert caught.value.code == 65
    for text in (*texts, str(path)):
        assert text in str(caught.value)


def test_walk_finds_every_payload(tmp_path):
    path = write(tmp_path / "a")
    found = index.walk(path)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found[:, 0], [start + 12 for start in STARTS])
    np.testing.assert_array_equal(found[:, 1], [len(payload) for payload in PAYLOADS])
    data = path.read_bytes()
    assert [data[offset : offset + length] for offset, length in found] == PAYLOADS


def test_walk_of_a_file_without_records(tmp_path):
    assert index.walk(write(tmp_path / "a", [])).shape == (0, 2)


@pytest.mark.parametrize("missing", [1, 2, 4, 5, 8, 9, 16, 17, 19])
def test_last_record_cut_short(tmp_path, missing):
    path = write(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-missing])
    walk_refused(path, f"record 4 at byte {STARTS[4]} runs past the end of the file")


def test_cut_at_every_byte_is_noticed_unless_between_records(tmp_path):
    """# fault C2"""
    data = write(tmp_path / "a").read_bytes()
    for size in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:size])
        if size in STARTS:
            assert len(index.walk(tmp_path / "cut")) == STARTS.index(size)
        else:
            walk_refused(tmp_path / "cut", "runs past the end")


def test_forged_length_is_never_allocated(tmp_path):
    """# fault C8"""
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<QI", 2**40, 0) + b"payload and four")
    walk_refused(path, "record 0 at byte 0 runs past the end of the file")


def test_largest_length_does_not_overflow(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<QI", 2**64 - 1, 0) + b"x" * 100)
    walk_refused(path, "record 0 at byte 0")


def test_gzip_file_is_said_to_be_one(tmp_path):
    """# fault C7"""
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"data " * 100))
    walk_refused(path, "this is a gzip file, and records are read uncompressed")


def test_text_file(tmp_path):
    (tmp_path / "a").write_text("these are no records, they are lines of text\n")
    walk_refused(tmp_path / "a", "record 0 at byte 0")


def test_build_numbers_the_shards(tmp_path):
    paths = [write(tmp_path / "a"), write(tmp_path / "b", PAYLOADS[:2])]
    built = index.build(manifest_of(*paths, records=[5, 2]), "train")
    assert built.dtype == np.int64
    np.testing.assert_array_equal(built[:, 0], [0] * 5 + [1] * 2)
    np.testing.assert_array_equal(built[:5, 1:], index.walk(paths[0]))
    np.testing.assert_array_equal(built[5:, 1:], index.walk(paths[1]))


def test_cut_exactly_between_records_shows_against_the_count(tmp_path):
    """# fault C3"""
    path = write(tmp_path / "a", PAYLOADS[:3])
    with pytest.raises(UserError, match="expected 5 records, found 3") as caught:
        index.build(manifest_of(path, records=[5]), "train")
    assert caught.value.code == 65
    assert str(path) in str(caught.value)


def test_more_records_than_the_manifest_says(tmp_path):
    path = write(tmp_path / "a")
    with pytest.raises(UserError, match="expected 4 records, found 5"):
        index.build(manifest_of(path, records=[4]), "train")


def test_file_of_zero_bytes(tmp_path):
    """# fault C4"""
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match="expected 5 records, found 0") as caught:
        index.build(manifest_of(tmp_path / "a", records=[5]), "train")
    assert caught.value.code == 65


def count_walks(monkeypatch):
    calls, walk = [], index.walk
    monkeypatch.setattr(index, "walk", lambda path: calls.append(path) or walk(path))
    return calls


def test_index_is_built_once(tmp_path, cache, monkeypatch):
    manifest = manifest_of(write(tmp_path / "a"), records=[5])
    walks = count_walks(monkeypatch)
    first = index.build(manifest, "train")
    second = index.build(manifest, "train")
    assert len(walks) == 1
    np.testing.assert_array_equal(first, second)
    assert [path.suffix for path in (cache / "index").iterdir()] == [".npy"]


def test_index_is_built_again_for_a_file_of_another_date(tmp_path, monkeypatch):
    path = write(tmp_path / "a", [b"ab", b"cdef"])
    manifest = manifest_of(path, records=[2])
    before = index.build(manifest, "train")
    write(path, [b"abcd", b"ef"])  # as many bytes
    os.utime(path, ns=(10**18, 10**18))
    walks = count_walks(monkeypatch)
    after = index.build(manifest, "train")
    assert len(walks) == 1
    assert before[0, 2] == 2
    assert after[0, 2] == 4


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense", b"PK\x03\x04nonsense"])
def test_damaged_cache_is_made_anew(tmp_path, cache, content):
    manifest = manifest_of(write(tmp_path / "a"), records=[5])
    expected = index.build(manifest, "train")
    (entry,) = (cache / "index").iterdir()
    entry.write_bytes(content)
    np.testing.assert_array_equal(index.build(manifest, "train"), expected)
    np.testing.assert_array_equal(np.load(entry), expected)


def test_cached_index_of_another_length_is_made_anew(tmp_path, cache):
    manifest = manifest_of(write(tmp_path / "a"), records=[5])
    expected = index.build(manifest, "train")
    (entry,) = (cache / "index").iterdir()
    np.save(entry, expected[:3])
    np.testing.assert_array_equal(index.build(manifest, "train"), expected)


def test_cache_cut_short_is_made_anew(tmp_path, cache):
    manifest = manifest_of(write(tmp_path / "a"), records=[5])
    expected = index.build(manifest, "train")
    (entry,) = (cache / "index").iterdir()
    data = entry.read_bytes()
    for size in range(0, len(data), 7):
        entry.write_bytes(data[:size])
        np.testing.assert_array_equal(index.build(manifest, "train"), expected)


def test_cache_under_a_file_is_harmless(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path / "file"))
    built = index.build(manifest_of(write(tmp_path / "a"), records=[5]), "train")
    assert len(built) == 5


def test_cache_that_cannot_be_written_is_harmless(tmp_path, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index.np, "save", full)
    built = index.build(manifest_of(write(tmp_path / "a"), records=[5]), "train")
    assert len(built) == 5
    assert list((cache / "index").iterdir()) == []


def test_cache_directory_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_TF_CACHE", str(tmp_path / "mine"))
    assert index.cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("RESNET_TF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index.cache_directory() == tmp_path / "xdg" / "resnet_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index.cache_directory() == tmp_path / ".cache" / "resnet_tf"


def test_a_user_without_a_home_has_a_cache_all_the_same(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", homeless)
    assert index.cache_directory() == pathlib.Path(tempfile.gettempdir(), "resnet_tf")
