"""The memory reader: a small data set, decoded once to uint8 and kept."""

import math

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import sha256_of
from resnet_tf.input import index, records
from resnet_tf.input.images import decode_and_fit
from resnet_tf.input.manifest import Manifest
from resnet_tf.preprocessing import Preprocessing

_MAX_BYTES = 8 * 2**30


class MemoryReader:
    """Every picture of a split, decoded, in the order of the records on disk.

    Args:
      manifest: of the data set.
      split: name of the split.
      pictures: how they are cut and resized, once, here; not yet normalised.

    Attributes:
      images: uint8 `[n, height, width, channels]`.
      labels: int64 `[n]`, in 0..classes-1.

    Raises:
      UserError: 65 where a record cannot be used, naming file and record; 64 where the
        pictures would not fit in memory.
    """

    def __init__(self, manifest: Manifest, split: str, pictures: Preprocessing):
        shape = (pictures.height, pictures.width, pictures.channels)
        self.records = manifest.records(split)
        _check_size(manifest, split, self.records * math.prod(shape))
        encoded, labels = _read_records(manifest, split)
        # Kept on the host: a batch is gathered there and only the batch goes to a device.
        with tf.device("CPU:0"):
            self.images = tf.constant(_decode(manifest, split, encoded, pictures))
            self.labels = tf.constant(labels, tf.int64)

    def gather(self, record_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures and labels of records: uint8 `[k, H, W, C]` and int64 `[k]`."""
        return tf.gather(self.images, record_ids), tf.gather(self.labels, record_ids)


def _check_size(manifest: Manifest, split: str, size: int) -> None:
    if size > _MAX_BYTES:
        raise UserError(
            errors.BAD_FLAGS,
            f"split {split!r} takes {size / 2**30:.1f} GiB decoded, more than the"
            f" {_MAX_BYTES / 2**30:.0f} GiB that are kept in memory",
            manifest.directory,
            "choose smaller pictures (--image_size in training, --input_size when importing"
            " weights) or a smaller split",
        )


def _read_records(manifest: Manifest, split: str) -> tuple[list[bytes], list[int]]:
    encoded, labels = [], []
    where = index.build(manifest, split)
    for path, shard in zip(manifest.paths(split), manifest.shards(split)):
        for serialized in _payloads(path):
            try:
                picture, label = records.decode(serialized, manifest.features)
                label -= manifest.label_offset
                if not 0 <= label < len(manifest.classes):
                    raise ValueError(f"label {label} is not in 0..{len(manifest.classes) - 1}")
            except ValueError as error:
                raise _bad_record(manifest, split, where, len(encoded), error) from error
            encoded.append(picture)
            labels.append(label)
        # Every record may be sound and the shard another one all the same.
        if sha256_of(path) != shard.sha256:
            raise UserError(
                errors.BAD_DATA,
                "the shard is not the one that its manifest describes (sha256 differs)",
                path,
                "restore the file, or prepare the data again",
            )
    return encoded, labels


def _payloads(path):
    """Payloads of one file; TensorFlow's reader checks the CRC of each."""
    # Batches, because an element costs far more than a record of a small picture.
    dataset = tf.data.TFRecordDataset(str(path), buffer_size=8 * 2**20).batch(1024)
    position = 0
    try:
        for batch in dataset.as_numpy_iterator():
            yield from batch
            position += len(batch)
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
        raise UserError(
            errors.BAD_DATA,
            f"a record fails its checksum ({_damaged(path, position)})",
            path,
            "restore the file, or prepare the data again",
        ) from error


def _damaged(path, first: int) -> str:
    """Which record it was: the batch that failed, read again one at a time."""
    position = first
    try:
        for _ in tf.data.TFRecordDataset(str(path)).skip(first):
            position += 1
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
        pass
    return f"record {position}"


def _decode(manifest: Manifest, split: str, encoded: list[bytes], pictures: Preprocessing):
    shape = (pictures.height, pictures.width, pictures.channels)
    images = np.empty((len(encoded), *shape), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(encoded))
    dataset = dataset.map(
        lambda picture: decode_and_fit(picture, pictures),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).batch(256)
    done = 0
    try:
        for batch in dataset.as_numpy_iterator():
            images[done : done + len(batch)] = batch
            done += len(batch)
    except tf.errors.InvalidArgumentError as error:
        raise _bad_picture(manifest, split, encoded, done, pictures) from error
    return images


def _bad_picture(manifest, split, encoded, first, pictures) -> UserError:
    """Finds the picture that would not decode, from the first of the failing batch on."""
    record = first
    for picture in encoded[first:]:
        try:
            decode_and_fit(tf.constant(picture), pictures)
        except tf.errors.InvalidArgumentError:
            break
        record += 1
    where = index.build(manifest, split)
    return _bad_record(manifest, split, where, record, "the picture cannot be decoded")


def _bad_record(manifest, split, where: np.ndarray, record: int, reason: object) -> UserError:
    """The error that names record `record` of a split by its file, number there and byte."""
    shard, payload, _ = where[record]
    number = record - int(np.searchsorted(where[:, 0], shard))
    return UserError(
        errors.BAD_DATA,
        f"{reason} (record {number} at byte {payload - index.HEADER_BYTES})",
        manifest.paths(split)[shard],
        "take the record out, or prepare the data again",
    )
