"""Readers of encoded records: at random from local disks, or from memory.

Both give the records that are wanted, one by one, decoded and fitted by the caller's function
on all cores; neither holds more than a few batches of pixels.
"""

import os
from collections.abc import Callable

import tensorflow as tf

from resnet_tf.input import index, memory
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.images import decode_and_fit, require
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.order import Order
from resnet_tf.input.slices import Slices
from resnet_tf.input.tfrecords import read_at
from resnet_tf.preprocessing import Preprocessing

# From encoded bytes, and a row of what is wanted, to a picture `[H, W, C]`.
Fit = Callable[[tf.Tensor, dict], tf.Tensor]


class StoredReader:
    """What readers of encoded records share.

    Args:
      manifest: of the data set.
      split: name of the split.
      pictures: how they are cut and resized where nothing else is asked for.

    Attributes:
      records: number of records in the split.
      manifest, split, pictures: as given.
    """

    def __init__(self, manifest: Manifest, split: str, pictures: Preprocessing):
        self.manifest, self.split, self.pictures = manifest, split, pictures
        self.records = manifest.records(split)

    def ordered(
        self,
        slices: Slices,
        order: Order,
        bad: BadRecords,
        wanted: Callable[[tf.Tensor], dict],
        fit: Fit,
    ) -> tf.data.Dataset:
        """Endless training batches, in `order`.

        Args:
          slices: the positions to make.
          order: of the records.
          bad: records to leave out, known when the dataset is made.
          wanted: from positions int64 `[k]` to a dictionary of `ids` (int64 `[k]`) and whatever
            else is drawn for a record, `[k, …]`.
          fit: makes one picture.

        Returns:
          As `batches`.
        """
        return self.batches(slices.batches().map(wanted), fit)

    def batches(self, wanted: tf.data.Dataset, fit: Fit | None = None) -> tf.data.Dataset:
        """The pictures of batches of records.

        Args:
          wanted: of dictionaries with `ids` (int64 `[b]`) and whatever else `fit` takes, a
            row a record.
          fit: makes one picture; by default whole, as the reader's `pictures` says.

        Returns:
          A dataset of (wanted, images `[b, H, W, C]`, labels int64 `[b]`). A record that cannot
          be read, decoded or used raises when its batch is asked for.
        """
        batch = wanted.element_spec["ids"].shape[0]
        fit = fit or (lambda encoded, row: decode_and_fit(encoded, self.pictures))
        rows = wanted.unbatch().map(lambda row: (row, row["ids"]))
        return self.fitted(rows, self.read, fit).batch(batch, drop_remainder=True)

    def read(self, row: dict, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encoded picture (scalar string) and label (int64 scalar) of a record."""
        raise NotImplementedError

    def fitted(self, rows: tf.data.Dataset, read: Callable, fit: Fit) -> tf.data.Dataset:
        """(row, picture, label) of each row, on all cores, in order."""

        def prepare(row, record):
            encoded, label = read(row, record)
            return row, fit(encoded, row), label

        # More calls than cores: one that waits for its turn in the order keeps no core idle.
        threads = 2 * (os.cpu_count() or 1)
        return rows.map(prepare, num_parallel_calls=threads, deterministic=True)


class IndexedReader(StoredReader):
    """Reads each record by its offset: for sets of any size on local disks.

    Memory: 24 bytes a record for the index, and the batches under way.
    """

    def __init__(self, manifest: Manifest, split: str, pictures: Preprocessing):
        super().__init__(manifest, split, pictures)
        with tf.device("CPU:0"):
            self._index = tf.constant(index.build(manifest, split))
            self._paths = tf.constant([str(path) for path in manifest.paths(split)])

    def read(self, row: dict, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shard, payload, length = tf.unstack(self._index[record])
        return parse(read_at(self._paths[shard], payload, length), self.manifest)


class EncodedMemoryReader(StoredReader):
    """Keeps the encoded pictures: for small sets whose pictures are cut at random.

    Memory: the size of the split on disk.
    """

    def __init__(self, manifest: Manifest, split: str, pictures: Preprocessing, bad: BadRecords):
        super().__init__(manifest, split, pictures)
        encoded, labels = memory.read_split(manifest, split, bad)
        with tf.device("CPU:0"):
            self._encoded = tf.constant(encoded)
            self._labels = tf.constant(labels, tf.int64)

    def read(self, row: dict, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._encoded[record], self._labels[record]


def parse(serialized: tf.Tensor, manifest: Manifest) -> tuple[tf.Tensor, tf.Tensor]:
    """Picture and label 0..classes-1 of one record: scalar strings to string and int64."""
    features = manifest.features
    fields = tf.io.parse_single_example(
        serialized,
        {
            features.encoded: tf.io.FixedLenFeature([], tf.string),
            features.label: tf.io.FixedLenFeature([], tf.int64),
        },
    )
    label = fields[features.label] - manifest.label_offset
    inside = require((label >= 0) & (label < len(manifest.classes)), label)
    with tf.control_dependencies([inside]):
        return fields[features.encoded], tf.identity(label)
