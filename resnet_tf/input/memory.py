"""The memory reader: a small data set, decoded once to uint8 and kept."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.files import sha256_of
from resnet_tf.input import faults, index, records
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.images import decode_and_fit
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.order import Order
from resnet_tf.input.slices import Slices
from resnet_tf.preprocessing import Preprocessing


class ArrayReader:
    """Pictures of one size that are in memory already.

    Args:
      images: uint8 `[n, H, W, C]`.
      labels: int64 `[n]`.

    Attributes:
      records: n.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.records = len(labels)
        self.pictures = None
        # Kept on the host: a batch is gathered there and only the batch goes to a device.
        with tf.device("CPU:0"):
            self.images = tf.constant(images)
            self.labels = tf.constant(labels, tf.int64)

    def ordered(
        self,
        slices: Slices,
        order: Order,
        bad: BadRecords,
        wanted: Callable[[tf.Tensor], dict],
        fit: Callable,
    ) -> tf.data.Dataset:
        """As `StoredReader.ordered`; the pictures are fitted already."""
        return self.batches(slices.batches().map(wanted))

    def batches(self, wanted: tf.data.Dataset, fit: Callable | None = None) -> tf.data.Dataset:
        """As `StoredReader.batches`; the pictures are fitted already."""
        return wanted.map(lambda rows: (rows, *self.gather(rows["ids"])))

    def gather(self, record_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures and labels of records: uint8 `[k, H, W, C]` and int64 `[k]`."""
        return tf.gather(self.images, record_ids), tf.gather(self.labels, record_ids)


class MemoryReader(ArrayReader):
    """Every picture of a split, decoded, in the order of the records on disk.

    Args:
      manifest: of the data set.
      split: name of the split.
      pictures: how they are cut and resized, once, here; not yet normalised.
      bad: takes in records that cannot be used; None allows no such record.

    Attributes:
      records: number of records in the split.
      images: uint8 `[n, height, width, channels]`.
      labels: int64 `[n]`, in 0..classes-1.

    Raises:
      UserError: 65 where a record cannot be used, naming file and record.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        pictures: Preprocessing,
        bad: BadRecords | None = None,
    ):
        bad = bad or BadRecords.none()
        encoded, labels = read_split(manifest, split, bad)
        super().__init__(_decode(manifest, split, encoded, pictures, bad), labels)
        self.pictures = pictures


def read_split(manifest: Manifest, split: str, bad: BadRecords) -> tuple[list[bytes], list[int]]:
    """Encoded picture and label 0..classes-1 of each record, checksums and sha256 proved.

    What is bad has the bytes and the label of what takes its place as long as `bad` allows it.

    Raises:
      UserError: 65 for a bad record beyond that, or a shard that is another file than the
        manifest's.
    """
    index.build(manifest, split)  # counts the records of every shard
    encoded, labels = [], []
    for path, shard in zip(manifest.paths(split), manifest.shards(split)):
        known = len(bad.found)
        for serialized in _payloads(manifest, split, path, len(encoded)):
            picture, label = b"", 0
            try:
                picture, label = _decoded(manifest, split, len(encoded), serialized)
            except UserError as error:
                bad.add(len(encoded), error)
            encoded.append(picture)
            labels.append(label)
        # Every record may be sound and the shard another one all the same.
        if len(bad.found) == known and sha256_of(path) != shard.sha256:
            raise UserError(
                errors.BAD_DATA,
                "the shard is not the one that its manifest describes (sha256 differs)",
                path,
                "restore the file, or prepare the data again",
            )
    return encoded, labels


def _decoded(manifest, split, record, serialized: bytes | UserError) -> tuple[bytes, int]:
    if isinstance(serialized, UserError):
        raise serialized
    try:
        picture, label = records.decode(serialized, manifest.features)
        return picture, faults.label_of(manifest, label)
    except ValueError as error:
        raise faults.bad_record(manifest, split, record, error) from error


def _payloads(manifest, split, path, first: int) -> Iterator[bytes | UserError]:
    """Payloads of one file, whose first record is `first`, or the error in a payload's place."""
    # Batches, because an element costs far more than a record of a small picture.
    dataset = tf.data.TFRecordDataset(str(path), buffer_size=8 * 2**20).batch(1024)
    position = first
    try:
        for batch in dataset.as_numpy_iterator():
            yield from batch
            position += len(batch)
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
        # Some record of the batch; from here on one at a time.
        last = first + len(index.walk(path))
        for record in range(position, last):
            try:
                yield faults.read(manifest, split, record)
            except UserError as error:
                yield error


@tf.autograph.experimental.do_not_convert
def _decode(
    manifest: Manifest,
    split: str,
    encoded: list[bytes],
    pictures: Preprocessing,
    bad: BadRecords,
) -> np.ndarray:
    """uint8 `[n, H, W, C]`; zeros where a record is bad."""
    shape = (pictures.height, pictures.width, pictures.channels)
    images = np.zeros((len(encoded), *shape), np.uint8)
    todo = [record for record in range(len(encoded)) if record not in bad.found]
    while todo:
        dataset = tf.data.Dataset.from_tensor_slices(tf.constant([encoded[i] for i in todo]))
        dataset = dataset.map(
            lambda picture: decode_and_fit(picture, pictures),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).batch(256)
        try:
            for batch in dataset.as_numpy_iterator():
                images[todo[: len(batch)]] = batch
                del todo[: len(batch)]
        except tf.errors.InvalidArgumentError:
            record = _undecodable(encoded, todo)
            reason = faults.reason(encoded[record])
            bad.add(record, faults.bad_record(manifest, split, record, reason))
            todo.remove(record)
    return images


def _undecodable(encoded: list[bytes], todo: list[int]) -> int:
    """The first of the records that does not decode."""
    return next(record for record in todo if faults.reason(encoded[record]))
