"""Rectangles in pictures."""

import tensorflow as tf


def inside(
    images: tf.Tensor, top: tf.Tensor, left: tf.Tensor, bottom: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Which numbers of each picture lie in its box, rows top..bottom-1, columns left..right-1.

    Args:
      images: `[k, H, W, C]`, for its shape.
      top: integers `[k]`, as are the others; a box may reach over the picture's edges.

    Returns:
      bool `[k, H, W, C]`.
    """
    _, height, width, channels = images.shape
    # Columns and channels are one axis: broadcasting along a last axis of 3 is slow.
    rows = tf.range(height, dtype=top.dtype)
    columns = tf.repeat(tf.range(width, dtype=left.dtype), channels)
    rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    columns = (columns >= left[:, None]) & (columns < right[:, None])
    mask = rows[:, :, None] & columns[:, None, :]
    return tf.reshape(mask, [-1, height, width, channels])
