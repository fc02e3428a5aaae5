"""CRC32C against published values, against a bit by bit reference, and against TensorFlow."""

import struct

import numpy as np
import pytest
from record_files import write_shard

from resnet_tf.inspection import checksums


def bit_by_bit(message):
    register = 0xFFFFFFFF
    for byte in message:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # RFC 3720, appendix B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        # The check value of the catalogue of CRCs.
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(message, expected):
    assert checksums.crc32c([message])[0] == expected
    row = np.frombuffer(message, np.uint8)[None]
    assert checksums.crc32c_of_rows(row)[0] == expected


def test_messages_of_all_lengths_at_once():
    random = np.random.default_rng(0)
    lengths = [*range(12), 255, 256, 257, 511, 512, 513, 1000]
    messages = [random.bytes(length) for length in lengths]
    assert checksums.crc32c(messages).tolist() == [bit_by_bit(message) for message in messages]


def test_masked_is_what_tensorflow_writes(tmp_path):
    payload = b"a payload of some length" * 40
    data = write_shard(tmp_path / "a", [payload]).read_bytes()
    length, of_length = struct.unpack_from("<QI", data)
    assert length == len(payload)
    found = checksums.masked(checksums.crc32c([data[:8], payload]))
    assert found.tolist() == [of_length, struct.unpack_from("<I", data, 12 + length)[0]]
