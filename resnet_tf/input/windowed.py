"""The windowed reader: for network disks, which are slow at random reads."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from resnet_tf.input import index
from resnet_tf.input.bad_records import BadRecords
from resnet_tf.input.manifest import Manifest
from resnet_tf.input.order import Order
from resnet_tf.input.slices import Slices
from resnet_tf.input.stored import Fit, StoredReader, parse
from resnet_tf.input.tfrecords import from_byte
from resnet_tf.preprocessing import Preprocessing


class WindowedReader(StoredReader):
    """Reads whole shards in sequence, a window of them at a time, the next one ahead.

    The records come in the order of `Order` with that window, as any other reader gives them.
    Every pipeline reads all of the windows and takes its own positions out of them.

    Memory: the encoded records of about three windows (one in use, one ready, one being read).
    """

    def __init__(self, manifest: Manifest, split: str, pictures: Preprocessing):
        super().__init__(manifest, split, pictures)
        with tf.device("CPU:0"):
            self._paths = tf.constant([str(path) for path in manifest.paths(split)])

    def ordered(
        self,
        slices: Slices,
        order: Order,
        bad: BadRecords,
        wanted: Callable[[tf.Tensor], dict],
        fit: Fit,
    ) -> tf.data.Dataset:
        """As `StoredReader.ordered`, window after window."""
        segments = self._segments(bad)
        first = order.window_of(tf.constant(slices.first_position, tf.int64))

        def load(number):
            shards, start, end = order.shards_of_window(number)
            positions = tf.data.Dataset.from_tensors(slices.within(start, end))
            return tf.data.Dataset.zip(*self._load(segments, shards), positions)

        def records(serialized, ids, positions):
            rows = wanted(positions)
            places = tf.searchsorted(ids, rows["ids"])
            each = tf.data.Dataset.from_tensor_slices((rows, places))
            return each.map(lambda row, place: (row, serialized[place]))

        windows = tf.data.Dataset.counter(first).flat_map(load).prefetch(1)
        stream = windows.flat_map(records)
        fitted = self.fitted(stream, lambda row, one: parse(one, self.manifest), fit)
        return fitted.batch(slices.per_replica, drop_remainder=True)

    def _segments(self, bad: BadRecords) -> np.ndarray:
        """Stretches of sound records, int64 `[s, 4]`: shard, first byte, records, first id."""
        where = index.build(self.manifest, self.split)
        sound = np.setdiff1d(np.arange(len(where)), list(bad.found))
        shards = where[sound, 0]
        starts = np.flatnonzero((np.diff(sound, prepend=-2) != 1) | (np.diff(shards, prepend=-1)))
        counts = np.diff(np.append(starts, len(sound)))
        first = sound[starts]
        return np.stack(
            [where[first, 0], where[first, 1] - index.HEADER_BYTES, counts, first], axis=1
        )

    def _load(self, segments: np.ndarray, shards: tf.Tensor) -> tuple[tf.data.Dataset, ...]:
        """Serialised records of the shards, and their numbers, ascending: an element each."""
        inside = tf.reduce_any(tf.equal(segments[:, :1], shards), axis=1)
        chosen = tf.boolean_mask(segments, inside)

        def read(segment):
            # Not `tf.unstack`: an output that nobody takes crashes TensorFlow 2.21 here.
            shard, byte, count = segment[0], segment[1], segment[2]
            return from_byte(self._paths[shard], byte, _BUFFER).take(count)

        # At least 1: all shards of a window may be without records.
        total = tf.maximum(tf.reduce_sum(chosen[:, 2]), 1)
        serialized = tf.data.Dataset.from_tensor_slices(chosen).flat_map(read).batch(total)
        ids = tf.ragged.range(chosen[:, 3], chosen[:, 3] + chosen[:, 2]).flat_values
        return serialized, tf.data.Dataset.from_tensors(ids)


_BUFFER = 8 * 2**20
