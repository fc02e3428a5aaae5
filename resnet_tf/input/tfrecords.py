"""TFRecord files read from any byte on, in the graph."""

import tensorflow as tf

from resnet_tf.input import index


def from_byte(path: tf.Tensor, byte: tf.Tensor, buffer_size) -> tf.data.Dataset:
    """The serialised records of a file from a byte on; their checksums are looked at."""
    # `tf.data.TFRecordDataset` itself cannot be told where to begin.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.cast(buffer_size, tf.int64),
        byte_offsets=[byte],
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))


def read_at(path: tf.Tensor, payload: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The record whose payload of `length` bytes lies at byte `payload` of a file.

    Returns:
      The serialised record, scalar string; DataLossError where a checksum fails.
    """
    # The buffer holds just this record, so that one read fetches it.
    frame = length + index.FRAME_BYTES
    return from_byte(path, payload - index.HEADER_BYTES, frame).take(1).get_single_element()
