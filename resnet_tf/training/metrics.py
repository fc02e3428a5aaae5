"""Metrics as counts."""

import tensorflow as tf


def classes_ahead(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many classes come before the label of each example: 0 where it comes first.

    Equal logits rank by class number, the lower first. Where any logit of an example is not
    finite it is the largest int32: such an example is never right.

    Args:
      logits: float32 `[N, classes]`.
      labels: int64 `[N]`; or soft ones, float32 `[N, classes]`, of which the largest counts.

    Returns:
      int32 `[N]`.
    """
    if not labels.dtype.is_integer:
        labels = tf.argmax(labels, axis=1)
    own = tf.gather(logits, labels, axis=1, batch_dims=1)[:, None]
    classes = tf.range(tf.shape(logits)[1], dtype=tf.int64)
    ahead = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=1)
    return tf.where(finite, tf.reduce_sum(tf.cast(ahead, tf.int32), axis=1), tf.int32.max)


def correct_in_top(logits: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Whether the label is among the k largest logits, as `classes_ahead` ranks them.

    Args:
      logits, labels: as of `classes_ahead`.
      k: 1 or more.

    Returns:
      bool `[N]`.
    """
    return classes_ahead(logits, labels) < k
