"""The trust ratio, by which LARS and LAMB scale the update of a kernel."""

import tensorflow as tf


def trust_ratio(above: tf.Tensor, below: tf.Tensor) -> tf.Tensor:
    """above / below, float32 scalars of 0 or more; 1 where either is 0.

    So weights that are all zero can leave it, and nothing is divided by zero.
    """
    both = tf.logical_and(above > 0, below > 0)
    return tf.where(both, tf.math.divide_no_nan(above, below), 1.0)
