"""A function of some records of a batch, at the cost of those alone."""

from collections.abc import Callable

import tensorflow as tf


def only(chosen: tf.Tensor, function: Callable, *batches: tf.Tensor) -> tf.Tensor:
    """The first batch, with `function(*batches)` in place of the records that are chosen.

    A `tf.where` that broadcasts a condition a record takes ten times as long.

    Args:
      chosen: bool `[k]`.
      function: of the chosen records of all batches, to as many of the first batch's kind.
      *batches: `[k, ...]` each.

    Returns:
      `[k, ...]` of the first batch's shape and dtype.
    """

    def parts(values):
        return tf.dynamic_partition(values, tf.cast(chosen, tf.int32), 2)

    kept, _ = parts(batches[0])
    changed = function(*(parts(batch)[1] for batch in batches))
    places = parts(tf.range(tf.shape(chosen)[0]))
    return tf.ensure_shape(tf.dynamic_stitch(places, [kept, changed]), batches[0].shape)
