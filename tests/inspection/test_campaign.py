"""Damage by chance: every flip, cut, empty and missing shard is found, file and record named;
mutated pictures are decoded or refused, and nothing ever ends the process."""

import resource
import shutil
import struct

import numpy as np
import pytest
import record_files as files

from resnet_tf import inspection
from resnet_tf.inspection import checksums
from resnet_tf.inspection.findings import KINDS

import tensorflow as tf  # isort: skip

RECORDS, SHARDS = 40, 4
SAMPLE = pytest.param(12, id="sample")


def whole(number):
    return pytest.param(number, marks=pytest.mark.slow, id="whole")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sound")
    names = files.write_set(
        directory, [files.record(files.jpeg(i), i % 3, f"{i}.jpg") for i in range(RECORDS)],
        shards=SHARDS,
    )  # fmt: skip
    return directory, names


@pytest.fixture
def copy(sound, tmp_path):
    """Makes a fresh copy of the sound set, and says where the records of a shard lie."""

    def make(name):
        directory = tmp_path / "set"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(sound[0], directory)
        path = directory / name
        starts = [0]
        for payload in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            starts.append(starts[-1] + 16 + len(payload))
        return directory, path, starts

    return make


def errors_of(directory):
    report = inspection.check(directory, inspection.Options(decode=False))
    kept = report.findings.kept.items()
    return [f for kind, found in kept for f in found if KINDS[kind][0] == "error"]


@pytest.mark.parametrize("number", [SAMPLE, whole(1000)])
def test_byte_flips(sound, copy, number):
    """# fault C1"""
    random = np.random.default_rng(1)
    for i in range(number):
        name = sound[1][random.integers(SHARDS)]
        directory, path, starts = copy(name)
        record = int(random.integers(len(starts) - 1))
        start, end = starts[record], starts[record + 1]
        # Length, its checksum, payload and its checksum in turn.
        low, high = [(0, 8), (8, 12), (12, end - start - 4), (end - start - 4, end - start)][i % 4]
        at = start + int(random.integers(low, high))
        data = bytearray(path.read_bytes())
        data[at] ^= 1 << int(random.integers(8))
        path.write_bytes(data)
        errors = errors_of(directory)
        assert {error.file for error in errors} == {name}
        named = [(e.record, e.offset) for e in errors if e.record is not None]
        assert named == [(record, start)], (at - start, errors)


@pytest.mark.parametrize("number", [SAMPLE, whole(200)])
def test_truncations(sound, copy, number):
    """# fault C2, C3"""
    random = np.random.default_rng(2)
    for i in range(number):
        name = sound[1][random.integers(SHARDS)]
        directory, path, starts = copy(name)
        between = i % 4 == 0
        cut = int(random.choice(starts[1:-1]) if between else random.integers(1, starts[-1]))
        path.write_bytes(path.read_bytes()[:cut])
        errors = errors_of(directory)
        assert {error.file for error in errors} == {name}
        left = max(k for k, start in enumerate(starts) if start <= cut)
        kinds = {error.kind: error for error in errors}
        if left:
            assert kinds["record-count"].what == f"expected 10 records, found {left}"
        else:
            assert "not-tfrecord" in kinds
        if left and cut not in starts:
            assert kinds["unreadable-bytes"].record == left
            assert kinds["unreadable-bytes"].offset == starts[left]


@pytest.mark.parametrize("number", [pytest.param(4, id="sample"), whole(50)])
def test_missing_and_empty_shards(sound, copy, number):
    """# fault C4, C5"""
    random = np.random.default_rng(3)
    for i in range(number):
        name = sound[1][random.integers(SHARDS)]
        directory, path, _ = copy(name)
        path.unlink()
        if i % 2:
            path.touch()
        (error,) = errors_of(directory)
        assert (error.kind, error.file) == ("empty-shard" if i % 2 else "missing-shard", name)


def mutated(random, picture):
    """A picture with a few bytes changed, a piece cut out, doubled, or its end cut off."""
    data = bytearray(picture)
    for _ in range(int(random.integers(1, 6))):
        data[random.integers(len(data))] = random.integers(256)
    start, end = sorted(random.integers(2, len(data), 2).tolist())
    match int(random.integers(4)):
        case 0:
            del data[start:end]
        case 1:
            data[start:start] = data[start:end]
        case 2:
            del data[end:]
    return bytes(data)


@pytest.mark.parametrize("number", [pytest.param(60, id="sample"), whole(1000)])
def test_mutated_pictures(tmp_path, number):
    """# fault D12"""
    random = np.random.default_rng(4)
    shapes = [(16, 16, 3), (24, 40, 3), (9, 31, 1)]
    pictures = [
        make(k, *shape) for k, shape in enumerate(shapes) for make in (files.jpeg, files.png)
    ]
    payloads = [
        files.example(
            image__encoded=mutated(random, pictures[i % len(pictures)]),
            image__class__label=i % 3,
            image__filename=b"%d" % i,
        )
        for i in range(number)
    ]
    files.write_set(tmp_path, payloads)
    report = inspection.check(tmp_path)
    refused = {
        finding.record
        for kind, found in report.findings.kept.items()
        for finding in found
        if KINDS[kind][0] == "error"
    }
    usable = set(np.flatnonzero(report.tables[0].rows["usable"]).tolist())
    assert usable.isdisjoint(refused)
    assert usable | refused == set(range(number))
    assert usable and refused
    for record in sorted(usable):
        encoded = tf.train.Example.FromString(payloads[record])
        (encoded,) = encoded.features.feature["image/encoded"].bytes_list.value
        tf.io.decode_jpeg(encoded, channels=3)  # as training does: it raises for no usable one


def test_memory_does_not_grow_with_a_forged_length(tmp_path):
    """# fault C8"""
    names = files.write_set(tmp_path, files.sound_records(6))
    length = struct.pack("<Q", 2**40)
    forged = length + struct.pack("<I", checksums.masked(checksums.crc32c([length]))[0]) + bytes(12)
    path = tmp_path / names[0]
    path.write_bytes(forged + path.read_bytes())
    before = _peak_kilobytes()
    errors = errors_of(tmp_path)
    assert _peak_kilobytes() - before < 50 * 1024
    assert [(e.record, e.offset) for e in errors if e.kind == "unreadable-bytes"] == [(0, 0)]


def _peak_kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
