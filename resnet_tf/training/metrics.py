"""Metrics as counts."""

import tensorflow as tf


def correct_in_top(logits: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Whether the label is among the k largest logits of each example.

    Equal logits rank by class number, the lower first, so exactly k classes are in the top
    k. An example with a non-finite logit is never correct.

    Args:
      logits: float32 `[N, classes]`.
      labels: int64 `[N]`; or soft ones, float32 `[N, classes]`, of which the largest counts.
      k: 1 or more.

    Returns:
      bool `[N]`.
    """
    if not labels.dtype.is_integer:
        labels = tf.argmax(labels, axis=1)
    own = tf.gather(logits, labels, axis=1, batch_dims=1)[:, None]
    classes = tf.range(tf.shape(logits)[1], dtype=tf.int64)
    ahead = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=1)
    return finite & (tf.reduce_sum(tf.cast(ahead, tf.int32), axis=1) < k)
