"""Losses: one number an example, so that the step alone decides how to average them."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """-Σ_k q_k · log softmax(logits)_k of each example.

    q is 1 for the label and 0 elsewhere, or a soft label as it is given; with smoothing s it is
    (1 - s) of that and s / K for each of the K classes (Szegedy et al. 2015, arXiv 1512.00567,
    section 7).

    Args:
      logits: float32 `[N, classes]`.
      labels: int64 `[N]`, in 0..classes-1 (the input pipeline has checked them; a label out
        of range raises on CPU but gives NaN on a GPU); or soft ones, float32 `[N, classes]`,
        each row with sum 1.
      smoothing: s in [0, 1), 0 by default.

    Returns:
      float32 `[N]`.
    """
    if labels.dtype.is_integer:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if not smoothing:
        return losses
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)
    return (1 - smoothing) * losses + smoothing * uniform
