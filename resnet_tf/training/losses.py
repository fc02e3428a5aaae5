"""Losses: one number an example, so that the step alone decides how to average them.

In all of them K is the number of classes and q the target: 1 for the label and 0 elsewhere, or
a soft label as it is given; with smoothing s it is (1 - s) of that and s / K for each class
(Szegedy et al. 2015, arXiv 1512.00567, section 7).
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """-Σ_k q_k · log softmax(logits)_k of each example.

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


def sigmoid_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """-Σ_k (q_k · log σ(z_k) + (1 - q_k) · log(1 - σ(z_k))) of each example, z its logits.

    Each class is a yes or no of its own (Wightman et al. 2021, arXiv 2110.00476, train ImageNet
    so). This is the sum over classes. Their mean would be K times smaller, and the gradients with
    it: SGD's rate for a mean is K times too large here (Adam does not see the difference), and
    weight decay, which is added to the gradient, weighs K times less beside it.

    Args:
      logits, labels, smoothing: as of `cross_entropy`; but a label out of range is none of
        the classes, and rows of soft labels may have any sum.

    Returns:
      float32 `[N]`.
    """
    target = _target(logits, labels, smoothing)
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    return tf.reduce_sum(each, axis=1)


def focal(
    logits: tf.Tensor, labels: tf.Tensor, gamma: float = 2.0, smoothing: float = 0.0
) -> tf.Tensor:
    """-Σ_k q_k · (1 - p_k)^γ · log p_k of each example, with p = softmax(logits).

    Examples that are right already count less, the more so the larger γ; with γ = 0 it is
    `cross_entropy` (Lin et al. 2017, arXiv 1708.02002, section 3; there for two classes by
    a sigmoid, here for K by the softmax).

    Args:
      logits, labels, smoothing: as of `cross_entropy`; but a label out of range costs nothing.
      gamma: γ, 0 or more; 2 by default, as in the paper.

    Returns:
      float32 `[N]`.
    """
    log_p = tf.nn.log_softmax(logits)
    # 1 - p without cancellation. The floor is for p = 1, where the gradient of a power below 1
    # is infinite.
    rest = tf.maximum(-tf.math.expm1(log_p), np.finfo(np.float32).tiny)
    return -tf.reduce_sum(_target(logits, labels, smoothing) * rest**gamma * log_p, axis=1)


def class_weighted(loss: Loss, weights: Sequence[float]) -> Loss:
    """A loss whose examples count Σ_k q_k · weights_k times, q the label before smoothing.

    The step still divides by the number of examples, not by the sum of their weights (as PyTorch
    does). So an example has the same say whatever else is in its batch, and weights that are all
    2 double the loss.

    Args:
      loss: of which each example is weighted.
      weights: one a class, 0 or more; taken as float32 `[classes]`.

    Raises:
      ValueError: for a weight that is negative or not finite; when called, for weights that
        are not as many as the classes.
    """
    values = np.asarray(weights, np.float32)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"class weights must be 0 or more, got {list(weights)}")

    def weighted(logits, labels):
        if logits.shape[1:] != values.shape:
            raise ValueError(f"{logits.shape[1]} classes need as many weights, got {len(values)}")
        if labels.dtype.is_integer:
            factors = tf.gather(values, labels)
        else:
            factors = tf.reduce_sum(labels * values, axis=1)
        return factors * loss(logits, labels)

    return weighted


def make_loss(
    kind: str,
    smoothing: float = 0.0,
    gamma: float = 2.0,
    class_weights: Sequence[float] = (),
) -> Loss:
    """The loss of a run, from logits float32 `[N, classes]` and labels to float32 `[N]`.

    Args:
      kind: "softmax" (`cross_entropy`), "sigmoid" (`sigmoid_cross_entropy`) or "focal".
      smoothing: s in [0, 1), 0 by default.
      gamma: of "focal" alone, 0 or more; 2 by default.
      class_weights: one a class, see `class_weighted`; by default all examples count once.

    Raises:
      ValueError: for another kind, or numbers out of their range.
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing!r}")
    if not 0 <= gamma < float("inf"):
        raise ValueError(f"gamma must be 0 or more, got {gamma!r}")
    losses: dict[str, Loss] = {
        "softmax": lambda logits, labels: cross_entropy(logits, labels, smoothing),
        "sigmoid": lambda logits, labels: sigmoid_cross_entropy(logits, labels, smoothing),
        "focal": lambda logits, labels: focal(logits, labels, gamma, smoothing),
    }
    if kind not in losses:
        raise ValueError(f"no loss is called {kind!r}; there are {', '.join(losses)}")
    return class_weighted(losses[kind], class_weights) if len(class_weights) else losses[kind]


def _target(logits: tf.Tensor, labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """q of every class, float32 `[N, classes]`."""
    classes = logits.shape[1]
    q = tf.one_hot(labels, classes) if labels.dtype.is_integer else labels
    return (1 - smoothing) * q + smoothing / classes if smoothing else q
