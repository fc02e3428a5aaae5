"""Losses: one number an example, so that the step alone decides how to average them."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-log softmax(logits)[label] of each example.

    Args:
      logits: float32 `[N, classes]`.
      labels: int64 `[N]`, in 0..classes-1 (the input pipeline has checked them; a label out
        of range raises on CPU but gives NaN on a GPU).

    Returns:
      float32 `[N]`.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
