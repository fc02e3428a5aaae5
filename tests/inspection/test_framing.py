"""Where records lie in sound and damaged files, and which of them are named."""

import struct

import numpy as np
import pytest
from record_files import frames, write_shard

from resnet_tf.inspection import checksums, framing

PAYLOADS = [b"first", b"", b"a longer third record " * 20, bytes(range(256)), b"last"]
STARTS = frames(PAYLOADS)


@pytest.fixture
def data(tmp_path):
    return bytearray(write_shard(tmp_path / "a", PAYLOADS).read_bytes())


def header(length):
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", checksums.masked(checksums.crc32c([packed]))[0])


def test_sound_file(data, tmp_path):
    found = framing.frames_of(bytes(data))
    assert found.offsets.tolist() == STARTS[:-1]
    assert found.lengths.tolist() == [len(payload) for payload in PAYLOADS]
    assert (found.damaged_lengths, found.gaps) == ((), ())
    assert [found.payload(data, i) for i in range(5)] == PAYLOADS
    assert framing.damaged_payloads(bytes(data), found) == []
    assert framing.is_sound(tmp_path / "a", 5)
    assert not framing.is_sound(tmp_path / "a", 4)


def test_more_records_than_are_looked_at_in_one_go(tmp_path):
    payloads = [b"%d" % i for i in range(1000)]
    data = write_shard(tmp_path / "a", payloads).read_bytes()
    found = framing.frames_of(data)
    assert found.offsets.tolist() == frames(payloads)[:-1]
    assert found.gaps == ()
    cut = framing.frames_of(data[: frames(payloads)[512]])
    assert len(cut.offsets) == 512


# The first byte behind a length is the payload's, or its checksum's where it is empty.
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("where", ["first", "last"])
def test_damaged_payload_is_the_only_one_named(data, tmp_path, number, where):
    data[STARTS[number] + 12 if where == "first" else STARTS[number + 1] - 1] ^= 1
    (tmp_path / "a").write_bytes(data)
    found = framing.frames_of(bytes(data))
    assert found.offsets.tolist() == STARTS[:-1]
    assert framing.damaged_payloads(bytes(data), found) == [number]
    assert not framing.is_sound(tmp_path / "a", 5)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("byte", range(8, 12))
def test_damaged_checksum_of_a_length(data, number, byte):
    data[STARTS[number] + byte] ^= 0x10
    found = framing.frames_of(bytes(data))
    assert found.offsets.tolist() == STARTS[:-1]
    assert (found.damaged_lengths, found.gaps) == ((number,), ())


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("byte", range(8))
def test_damaged_length_costs_one_record(data, number, byte):
    data[STARTS[number] + byte] ^= 0x40
    found = framing.frames_of(bytes(data))
    assert found.offsets.tolist() == STARTS[:number] + STARTS[number + 1 : -1]
    assert found.gaps == (framing.Gap(number, STARTS[number], STARTS[number + 1]),)


@pytest.mark.parametrize("cut", [1, 11, 12, 13, STARTS[2] + 5, STARTS[2] + 100, STARTS[5] - 1])
def test_cut_inside_a_record(data, cut):
    """# fault C2"""
    found = framing.frames_of(bytes(data[:cut]))
    whole = [start for start, size in zip(STARTS, PAYLOADS) if start + 16 + len(size) <= cut]
    assert found.offsets.tolist() == whole
    assert found.gaps == (framing.Gap(len(whole), STARTS[len(whole)], cut),)


@pytest.mark.parametrize("records", range(1, 5))
def test_cut_between_records_shows_only_in_the_count(data, records):
    found = framing.frames_of(bytes(data[: STARTS[records]]))
    assert len(found.offsets) == records
    assert found.gaps == ()


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1, 2**64 - 16])
def test_forged_length_with_a_sound_checksum_is_never_believed(length):
    """# fault C8"""
    forged = header(length) + b"123456789012"
    found = framing.frames_of(forged)
    assert len(found.offsets) == 0
    assert found.gaps == (framing.Gap(0, 0, len(forged)),)


def test_records_behind_a_forged_length_are_found(data):
    forged = header(2**40) + bytes(100)
    found = framing.frames_of(forged + bytes(data))
    assert found.offsets.tolist() == [start + len(forged) for start in STARTS[:-1]]
    assert found.gaps == (framing.Gap(0, 0, len(forged)),)


def test_search_goes_over_its_own_stretches(data, monkeypatch):
    monkeypatch.setattr(framing, "_SEARCHED", 64)
    junk = np.random.default_rng(1).bytes(1000)
    found = framing.frames_of(junk + bytes(data))
    assert found.offsets.tolist() == [start + 1000 for start in STARTS[:-1]]
    assert found.gaps == (framing.Gap(0, 0, 1000),)


@pytest.mark.parametrize("content", [b"", b"x", bytes(11), bytes(1000), b"\x1f\x8b" + bytes(50)])
def test_files_of_another_kind_have_no_records(content):
    assert len(framing.frames_of(content).offsets) == 0


def test_search_does_not_grow_with_the_file(data, monkeypatch):
    """A file with damage in each record, as line ends that were changed leave it."""
    searched = []
    holds = framing._holds
    monkeypatch.setattr(framing, "_holds", lambda rows: searched.append(len(rows)) or holds(rows))
    for copies in (8, 64):
        searched.clear()
        whole = bytearray(bytes(data) * copies)
        for start in range(0, len(whole), len(data)):
            whole[start] ^= 255
        found = framing.frames_of(bytes(whole))
        assert len(found.gaps) == copies
        assert sum(searched) < copies * 2 * 2**12
