"""What is wrong with a record, and where it lies: said on the host, off the fast path."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import headers, images, index, records
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.tfrecords import from_byte, read_at

_BUFFER = 8 * 2**20


def bad_record(manifest: Manifest, split: str, record: int, reason: object) -> UserError:
    """The error 65 that names record `record` of a split by its file, number there and byte."""
    where = index.build(manifest, split)
    shard, payload, _ = where[record]
    number = record - int(np.searchsorted(where[:, 0], shard))
    return UserError(
        errors.BAD_DATA,
        f"{reason} (record {number} at byte {payload - index.HEADER_BYTES})",
        manifest.paths(split)[shard],
        "take the record out, or prepare the data again; data/check.py finds all of them",
    )


def read(manifest: Manifest, split: str, record: int) -> bytes:
    """One serialised record.

    Raises:
      UserError: 65 where its checksums fail; 66 or 65 where its shard is gone or another one.
    """
    shard, payload, length = index.build(manifest, split)[record].tolist()
    path = str(manifest.paths(split)[shard])
    try:
        return read_at(path, *tf.constant([payload, length], tf.int64)).numpy()
    except tf.errors.OpError as error:
        raise bad_record(manifest, split, record, "the record fails its checksum") from error


def find(manifest: Manifest, split: str, record: int) -> UserError | None:
    """What keeps a record from being trained on; None where it is sound.

    Raises:
      UserError: 66 or 65 where its shard is gone or another one.
    """
    manifest.paths(split)  # a shard that is gone or another one is no matter of one record
    try:
        encoded, label = records.decode(read(manifest, split, record), manifest.features)
        label_of(manifest, label)
        why = reason(encoded)
    except UserError as error:
        if error.code != errors.BAD_DATA:
            raise
        return error
    except ValueError as error:
        why = error
    return bad_record(manifest, split, record, why) if why else None


def unreadable(manifest: Manifest, split: str, shards: Iterable[int]) -> list[int]:
    """Records of some shards whose checksums fail; reads the shards through.

    Raises:
      UserError: 66 or 65 where a shard is gone or another one.
    """
    where, paths, found = index.build(manifest, split), manifest.paths(split), []
    for shard in shards:
        left = np.flatnonzero(where[:, 0] == shard)
        while len(left):
            # Inside of another dataset: iterated by itself, TensorFlow 2.21 loses the byte.
            byte = tf.data.Dataset.from_tensors(where[left[0], 1] - index.HEADER_BYTES)
            path = str(paths[shard])
            stream = byte.flat_map(lambda byte, path=path: from_byte(path, byte, _BUFFER))
            sound = 0
            try:
                for _ in stream.map(tf.strings.length):
                    sound += 1
            except tf.errors.DataLossError:
                found.append(int(left[sound]))
            left = left[sound + 1 :]
    return found


def label_of(manifest: Manifest, stored: int) -> int:
    """The label 0..classes-1 of a stored one; ValueError where it is none."""
    label = stored - manifest.label_offset
    if not 0 <= label < len(manifest.classes):
        raise ValueError(f"label {label} is not in 0..{len(manifest.classes) - 1}")
    return label


def reason(encoded: bytes) -> str | None:
    """Why a picture cannot be trained on; None where it can."""
    try:
        images.decode(tf.constant(encoded), 3)
        return None
    except tf.errors.InvalidArgumentError:
        pass
    try:
        header = headers.inspect(encoded)
    except ValueError as error:
        return f"the picture cannot be decoded: {error}"
    if header.height * header.width > headers.MAX_PIXELS:
        return (
            f"the picture has {header.width}x{header.height} pixels, more than the"
            f" {headers.MAX_PIXELS:,} that are allowed"
        )
    return "the picture cannot be decoded"
