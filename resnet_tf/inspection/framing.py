"""The frame of a TFRecord file: where its records lie, and which of them are damaged.

A file is a sequence of
    length (uint64, little endian) · masked CRC of length (uint32) · payload · masked CRC (uint32)
A length is believed when its checksum holds, or when it leads to the end of the file or to
another length whose checksum holds. Where neither is so, the next sound length is searched
for, so one damaged byte costs one record. A forged length is measured by the file's size and
never allocated.
"""

import dataclasses
import os
import struct

import numpy as np
import tensorflow as tf

from resnet_tf.inspection import checksums

HEADER_BYTES, FOOTER_BYTES = 12, 4
_HEADER = struct.Struct("<QI")
# Bytes at a time: few at first, as a file may be damaged in every record.
_SEARCHED_FIRST, _SEARCHED = 2**12, 2**20
_READ_BUFFER = 2**20
_HOPS = 256  # between two looks at the checksums of lengths


@dataclasses.dataclass(frozen=True)
class Gap:
    """A stretch that cannot be read: it lies before record `record`, at bytes start to end."""

    record: int
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Frames:
    """Where the records of a file lie.

    Attributes:
      offsets: int64 `[n]`, of the frames (not of the payloads).
      lengths: int64 `[n]`, of the payloads.
      damaged_lengths: numbers of the records whose length fails its checksum though it is right.
      gaps: what lies between and cannot be read.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    damaged_lengths: tuple[int, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def payload(self, data, record: int) -> bytes:
        """The payload of one record of the file's bytes `data`."""
        start = int(self.offsets[record]) + HEADER_BYTES
        return data[start : start + int(self.lengths[record])]


def frames_of(data) -> Frames:
    """The frames of a file's bytes (a bytes-like object, such as a memory map)."""
    found, damaged, gaps, position, size = [], [], [], 0, len(data)
    while position < size:
        run = _hop(data, position)
        sound = _first_bad_length(data, run)
        found += run[:sound]
        position = found[-1][0] + found[-1][1] + 16 if sound else position
        if sound and sound == len(run):
            continue
        if sound < len(run) and _leads_on(data, *run[sound]):
            damaged.append(len(found))
            found.append(run[sound])
            position = run[sound][0] + run[sound][1] + 16
        else:
            end = _next_sound_length(data, position + 1)
            gaps.append(Gap(len(found), position, end))
            position = end
    rows = np.array(found, np.int64).reshape(-1, 2)
    return Frames(rows[:, 0], rows[:, 1], tuple(damaged), tuple(gaps))


def is_sound(path: str | os.PathLike, records: int) -> bool:
    """Whether TensorFlow's reader takes the whole file, both checksums of each record, as
    `records` records. Only for files without gaps: it ends the process on a forged length."""
    dataset = tf.data.TFRecordDataset(os.fspath(path), buffer_size=_READ_BUFFER).batch(16)
    try:
        read = dataset.reduce(
            np.int64(0), lambda count, batch: count + tf.shape(batch, tf.int64)[0]
        )
    except tf.errors.OpError:
        return False
    return int(read) == records


def damaged_payloads(data, frames: Frames) -> list[int]:
    """Numbers of the records whose payload fails its checksum."""
    damaged, count, at_a_time = [], len(frames.offsets), 256
    for first in range(0, count, at_a_time):
        numbers = range(first, min(first + at_a_time, count))
        found = checksums.masked(checksums.crc32c([frames.payload(data, i) for i in numbers]))
        for number, crc in zip(numbers, found):
            end = int(frames.offsets[number] + frames.lengths[number]) + HEADER_BYTES
            if int.from_bytes(data[end : end + FOOTER_BYTES], "little") != crc:
                damaged.append(number)
    return damaged


def _hop(data, position: int) -> list[tuple[int, int]]:
    """(offset, length) of the next frames, their lengths believed."""
    run, size, unpack = [], len(data), _HEADER.unpack_from
    while position + 16 <= size and len(run) < _HOPS:
        length = unpack(data, position)[0]
        if position + 16 + length > size:
            break
        run.append((position, length))
        position += 16 + length
    return run


def _first_bad_length(data, run: list[tuple[int, int]]) -> int:
    """How many frames of a run come before the first whose length fails its checksum."""
    if not run:
        return 0
    headers = np.frombuffer(
        b"".join(data[offset : offset + HEADER_BYTES] for offset, _ in run), np.uint8
    ).reshape(-1, HEADER_BYTES)
    bad = np.flatnonzero(~_holds(headers))
    return int(bad[0]) if len(bad) else len(run)


def _holds(headers: np.ndarray) -> np.ndarray:
    """Whether the length in each row of uint8 `[n, 12]` fits its checksum: bool `[n]`."""
    stored = np.ascontiguousarray(headers[:, 8:]).view("<u4")[:, 0]
    return checksums.masked(checksums.crc32c_of_rows(headers[:, :8])) == stored


def _leads_on(data, offset: int, length: int) -> bool:
    """Whether a frame ends where the file ends or where another sound length stands."""
    end = offset + 16 + length
    if end == len(data):
        return True
    header = np.frombuffer(data[end : end + HEADER_BYTES], np.uint8)
    return len(header) == HEADER_BYTES and bool(_holds(header[None])[0])


def _next_sound_length(data, position: int) -> int:
    """Where the next frame starts whose length fits its checksum and the file, or the end."""
    size, searched = len(data), _SEARCHED_FIRST
    while position + 16 <= size:
        stretch = np.frombuffer(data[position : position + searched + HEADER_BYTES - 1], np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(stretch, HEADER_BYTES)
        for i in np.flatnonzero(_holds(windows)):
            start = position + int(i)
            if start + 16 + _HEADER.unpack_from(data, start)[0] <= size:
                return start
        position += len(windows)
        searched = min(2 * searched, _SEARCHED)
    return size
